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

}  // namespace athanor::configs
