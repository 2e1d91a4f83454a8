#include "launch/cpu_topology.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <sched.h>
#include <sstream>
#include <tuple>

#include <fmt/core.h>

namespace athanor::launch {
namespace {

constexpr int kMaxNodes = 1024;

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

bool parse_number(const std::string& text, int& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= 0;
}

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text) {
  std::vector<int> ids;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const size_t dash = part.find('-');
    int first = 0, last = 0;
    if (!parse_number(part.substr(0, dash), first)) return {};
    last = first;
    if (dash != std::string::npos && !parse_number(part.substr(dash + 1), last)) return {};
    if (last < first || last >= CPU_SETSIZE) return {};
    for (int id = first; id <= last; ++id) ids.push_back(id);
  }
  return ids;
}

std::vector<Cpu> read_topology(const std::string& root, const std::vector<int>& allowed) {
  std::vector<Cpu> cpus;
  for (const int id : allowed) {
    const auto siblings =
        parse_cpu_list(read_line(fmt::format("{}/cpu/cpu{}/topology/thread_siblings_list", root, id)));
    cpus.push_back({id, siblings.empty() ? id : *std::min_element(siblings.begin(), siblings.end()), 0});
  }
  for (const int node : parse_cpu_list(read_line(root + "/node/online"))) {
    if (node >= kMaxNodes) break;
    const auto members = parse_cpu_list(read_line(fmt::format("{}/node/node{}/cpulist", root, node)));
    for (Cpu& cpu : cpus)
      if (std::find(members.begin(), members.end(), cpu.id) != members.end()) cpu.node = node;
  }
  std::sort(cpus.begin(), cpus.end(), [](const Cpu& a, const Cpu& b) {
    return std::tie(a.node, a.core, a.id) < std::tie(b.node, b.core, b.id);
  });
  return cpus;
}

std::vector<int> allowed_cpus() {
  cpu_set_t mask;
  std::vector<int> ids;
  if (::sched_getaffinity(0, sizeof mask, &mask) != 0) return ids;
  for (int id = 0; id < CPU_SETSIZE; ++id)
    if (CPU_ISSET(id, &mask)) ids.push_back(id);
  return ids;
}

bool restrict_to(const std::vector<int>& cpus) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  for (const int id : cpus) CPU_SET(id, &mask);
  return ::sched_setaffinity(0, sizeof mask, &mask) == 0;
}

}  // namespace athanor::launch
