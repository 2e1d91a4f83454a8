#include <fmt/core.h>

#include "configs/field.h"
#include "configs/load.h"
#include "configs/print.h"
#include "configs/rules.h"

namespace athanor::configs {

namespace {

void append_section(const Fields& fields, const std::string& indent, std::string& yaml);

void append_list(const Field& field, const std::string& indent, std::string& yaml) {
  const SectionList& sections = *field.section_list();
  if (sections.size() == 0) {
    yaml += fmt::format("{}{}: []\n", indent, field.name);
    return;
  }
  yaml += fmt::format("{}{}:\n", indent, field.name);
  for (size_t i = 0; i < sections.size(); ++i) {
    const size_t begin = yaml.size();
    append_section(sections.at(i), indent + "    ", yaml);
    yaml[begin + indent.size() + 2] = '-';
  }
}

void append_field(const Field& field, const std::string& indent, std::string& yaml) {
  if (const Fields* section = field.section()) {
    yaml += fmt::format("{}{}:\n", indent, field.name);
    append_section(*section, indent + "  ", yaml);
  } else if (field.section_list() != nullptr) {
    append_list(field, indent, yaml);
  } else {
    yaml += fmt::format("{}{}: {}\n", indent, field.name, print_value(field));
  }
}

void append_section(const Fields& fields, const std::string& indent, std::string& yaml) {
  for (const Field& field : fields) append_field(field, indent, yaml);
}

void keep_what_stands_beside_from(Fields& sections) {
  for (Field& section : sections) {
    if (section.name != "model") continue;
    std::erase_if(std::get<Fields>(section.value),
                  [](const Field& f) { return !may_stand_beside_from(f.name); });
  }
}

}  // namespace

std::string to_yaml(const RunConfig& config) {
  RunConfig printed = config;
  Fields sections = fields_of(printed);
  if (!config.model.from.empty()) keep_what_stands_beside_from(sections);
  std::string yaml;
  append_section(sections, "", yaml);
  return yaml;
}

}  // namespace athanor::configs
