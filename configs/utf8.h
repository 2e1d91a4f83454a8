// Whether bytes are text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace athanor::configs {

struct TextFault {
  int line = 0;      ///< from 1
  int column = 0;    ///< from 1, in bytes
  std::string what;  ///< `byte 0x00`
};

/// The first byte that is not part of valid UTF-8 (RFC 3629), or a control character other than tab and line
/// ends.
std::optional<TextFault> find_text_fault(std::string_view text);

}  // namespace athanor::configs
