#include "launch/start_agreement.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <dlfcn.h>
#include <vector>

#include <ATen/ops/empty.h>
#include <fmt/core.h>
#include <fmt/ranges.h>

#include "configs/flat_options.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/file_system.h"
#include "trainer/text_broadcast.h"

namespace athanor::launch {
namespace {

constexpr size_t kMaxOptionsNamed = 4;
constexpr size_t kMaxRanksNamed = 8;
constexpr size_t kDifferenceBytes = 1024;
constexpr size_t kCopyBytes = size_t{1} << 20;

// Of fixed size, so that even programs that differ can exchange it.
struct Badge {
  std::array<char, 32> program, options;
  std::array<char, 64> host;
};

template <size_t N>
void put(const std::string& text, std::array<char, N>& into) {
  into.fill('\0');
  text.copy(into.data(), N);
}

template <size_t N>
std::string text_of(const std::array<char, N>& from) {
  return std::string(from.data(), strnlen(from.data(), N));
}

// Everybody's, by world rank.
template <typename Record>
std::vector<Record> gather(const Record& own, parallel::Communicator& world) {
  constexpr auto kBytes = static_cast<int64_t>(sizeof(Record));
  at::Tensor mine = at::empty({kBytes}, at::kByte), all = at::empty({kBytes * world.size()}, at::kByte);
  std::memcpy(mine.mutable_data_ptr(), &own, sizeof(Record));
  world.all_gather(all, mine).wait();
  std::vector<Record> records(world.size());
  std::memcpy(records.data(), all.const_data_ptr(), all.nbytes());
  return records;
}

std::string as_lines(const std::map<std::string, std::string>& options) {
  std::string text;
  for (const auto& [name, value] : options) text += name + ": " + value + "\n";
  return text;
}

std::map<std::string, std::string> from_lines(const std::string& text) {
  std::map<std::string, std::string> options;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = text.find('\n', begin), colon = text.find(": ", begin);
    options[text.substr(begin, colon - begin)] = text.substr(colon + 2, end - colon - 2);
    begin = end + 1;
  }
  return options;
}

std::string name_rank(size_t rank, const std::vector<Badge>& badges) {
  return fmt::format("world rank {} on {}", rank, text_of(badges[rank].host));
}

std::string join_some(std::vector<std::string> parts) {
  if (parts.size() > kMaxRanksNamed) {
    parts[kMaxRanksNamed] = fmt::format("and {} more ranks", parts.size() - kMaxRanksNamed);
    parts.resize(kMaxRanksNamed + 1);
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

void check_programs(const std::vector<Badge>& badges) {
  std::vector<std::string> others;
  for (size_t r = 1; r < badges.size(); ++r)
    if (badges[r].program != badges[0].program)
      others.push_back(
          fmt::format("{} has the program {}", name_rank(r, badges), text_of(badges[r].program)));
  if (others.empty()) return;
  throw core::ConfigError(
      "the ranks run different programs: {}, but {} (digests of the files); install the same build on every "
      "machine",
      fmt::format("{} has the program {}", name_rank(0, badges), text_of(badges[0].program)),
      join_some(std::move(others)));
}

void check_options(const std::vector<Badge>& badges, const std::map<std::string, std::string>& own,
                   parallel::Communicator& world) {
  const bool all_alike = std::all_of(badges.begin(), badges.end(),
                                     [&](const Badge& badge) { return badge.options == badges[0].options; });
  if (all_alike) return;
  const std::string reference = trainer::broadcast_text(as_lines(own), world);
  std::array<char, kDifferenceBytes> mine{};
  put(describe_differences(from_lines(reference), own), mine);
  const auto differences = gather(mine, world);
  std::vector<std::string> others;
  for (size_t r = 1; r < badges.size(); ++r)
    if (badges[r].options != badges[0].options)
      others.push_back(fmt::format("{}: {}", name_rank(r, badges), text_of(differences[r])));
  throw core::ConfigError(
      "the ranks were started with different configurations, compared with {}: {}; start every rank with the "
      "same file and the same overrides",
      name_rank(0, badges), join_some(std::move(others)));
}

void add_file(const std::string& path, core::Digest& digest) {
  const auto file = core::posix_file_system().open(path);
  std::vector<std::byte> piece(kCopyBytes);
  for (uint64_t at = 0, size = file->size(); at < size; at += piece.size()) {
    const auto part = std::span(piece).first(std::min<uint64_t>(piece.size(), size - at));
    file->read(at, part);
    digest.update(part);
  }
}

std::string file_of_this_code() {
  Dl_info info;
  ATHANOR_CHECK(dladdr(reinterpret_cast<const void*>(&file_of_this_code), &info) != 0,
                "the code is in no file");
  return info.dli_fname;
}

}  // namespace

std::string program_digest() {
  core::Digest digest;
  add_file("/proc/self/exe", digest);
  add_file(file_of_this_code(), digest);
  return digest.hex();
}

void check_start_agreement(const StartFacts& facts, parallel::Session& session) {
  Badge own{};
  put(facts.program, own.program);
  put(core::digest_hex(std::string_view(as_lines(facts.options))), own.options);
  put(session.host(), own.host);
  const std::vector<Badge> badges = gather(own, session.world());
  check_programs(badges);
  check_options(badges, facts.options, session.world());
}

std::string describe_differences(const std::map<std::string, std::string>& reference,
                                 const std::map<std::string, std::string>& own) {
  std::vector<std::string> parts;
  for (const auto& [name, theirs, here] : configs::find_differences(reference, own))
    parts.push_back(fmt::format("{} is {} (world rank 0: {})", name, here, theirs));
  if (parts.size() > kMaxOptionsNamed) {
    parts[kMaxOptionsNamed] = fmt::format("and {} more options", parts.size() - kMaxOptionsNamed);
    parts.resize(kMaxOptionsNamed + 1);
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace athanor::launch
