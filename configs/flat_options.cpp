#include "configs/flat_options.h"

#include "configs/field.h"
#include "configs/print.h"

namespace athanor::configs {
namespace {

void add(const Fields& fields, const std::string& prefix, std::map<std::string, std::string>& table) {
  for (const Field& field : fields) {
    const std::string name = prefix + field.name;
    if (const Fields* section = field.section()) {
      add(*section, name + ".", table);
    } else if (const SectionList* sections = field.section_list()) {
      for (size_t i = 0; i < sections->size(); ++i)
        add(sections->at(i), name + "." + std::to_string(i) + ".", table);
    } else {
      table[name] = print_value(field);
    }
  }
}

}  // namespace

std::map<std::string, std::string> flat_options(const RunConfig& config) {
  RunConfig read = config;
  std::map<std::string, std::string> table;
  add(fields_of(read), "", table);
  return table;
}

std::vector<OptionDifference> find_differences(const std::map<std::string, std::string>& before,
                                               const std::map<std::string, std::string>& after) {
  const auto value_in = [](const std::map<std::string, std::string>& table, const std::string& name) {
    const auto found = table.find(name);
    return found == table.end() ? std::string("not set") : found->second;
  };
  std::map<std::string, std::string> names = after;
  names.insert(before.begin(), before.end());
  std::vector<OptionDifference> differences;
  for (const auto& [name, unused] : names) {
    OptionDifference difference{name, value_in(before, name), value_in(after, name)};
    if (difference.before != difference.after) differences.push_back(std::move(difference));
  }
  return differences;
}

}  // namespace athanor::configs
