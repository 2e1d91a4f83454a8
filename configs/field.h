// The options of a section as ordinary values: what `describe` says, with the types erased, so that parsing,
// printing and documentation are plain functions instead of templates over every struct.
//
// A Field points into the section it was taken from and is valid as long as that section is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "configs/option.h"

namespace athanor::configs {

struct Field;
using Fields = std::vector<Field>;

/// A `std::vector<Section>`, seen from outside.
struct SectionList {
  std::function<size_t()> size;
  std::function<void(size_t)> resize;
  std::function<Fields(size_t)> at;
  std::function<Fields()> default_element;  ///< what every new element holds; not part of the list
};

using FieldValue =
    std::variant<bool*, int64_t*, double*, std::string*, std::optional<bool>*, std::optional<int64_t>*,
                 std::optional<double>*, std::optional<std::string>*, std::vector<bool>*,
                 std::vector<int64_t>*, std::vector<double>*, std::vector<std::string>*, Fields, SectionList>;

struct Field {
  std::string name;
  Option option;
  FieldValue value;

  const Fields* section() const { return std::get_if<Fields>(&value); }
  const SectionList* section_list() const { return std::get_if<SectionList>(&value); }
};

template <typename Section>
Fields fields_of(Section& section);

namespace detail {

template <typename T>
struct IsVector : std::false_type {};
template <typename T>
struct IsVector<std::vector<T>> : std::true_type {};

template <typename Section>
SectionList list_of(std::vector<Section>& sections) {
  return {.size = [&] { return sections.size(); },
          .resize = [&](size_t count) { sections.resize(count); },
          .at = [&](size_t idx) { return fields_of(sections.at(idx)); },
          .default_element =
              [element = std::make_shared<Section>()] {
                *element = Section{};
                return fields_of(*element);
              }};
}

template <typename T>
FieldValue value_of(T& member) {
  if constexpr (std::is_constructible_v<FieldValue, T*>) {
    return &member;
  } else if constexpr (IsVector<T>::value) {
    return list_of(member);
  } else {
    return fields_of(member);
  }
}

}  // namespace detail

/// The options of `section` in the order of its `describe`.
template <typename Section>
Fields fields_of(Section& section) {
  Fields fields;
  auto visit = [&](const char* name, auto& member, Option option) {
    fields.push_back({name, std::move(option), detail::value_of(member)});
  };
  Section::describe(section, visit);
  return fields;
}

}  // namespace athanor::configs
