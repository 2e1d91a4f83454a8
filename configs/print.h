// Values as the YAML that reads back to them.
#pragma once

#include <string>

#include "configs/field.h"

namespace athanor::configs {

/// The value of an option that is no section, on one line.
std::string print_value(const Field& field);

/// `text` as a YAML scalar: plain where that can only mean the same text, otherwise in double quotes.
std::string print_text(const std::string& text);

}  // namespace athanor::configs
