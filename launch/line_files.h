// Text line by line: for commands that read lines, or map one line to one line, from a file or the standard
// input to a file or the standard output.
#pragma once

#include <functional>
#include <string>

#include "core/json.h"

namespace athanor::launch {

struct Line {
  std::string text;   ///< without its end
  std::string where;  ///< FILE:LINE, for errors
};

/// Calls visit(line) for every line of `input` that is not blank, in order; `-` is the standard input. Input
/// may be compressed. Errors: as open_byte_source, and DataError for a line of more than 256 MiB.
void for_each_line(const std::string& input, const std::function<void(const Line&)>& visit);

/// Writes convert(line) for every line of `input` that is not blank, in order, many lines at a time on all
/// threads.
/// `-` is the standard input or output; a file appears under its name when it is complete. Errors: as the
/// file system and `convert` throw them; then no output file is left behind.
void convert_lines(const std::string& input, const std::string& output,
                   const std::function<std::string(const Line&)>& convert);

/// The JSON of a line. DataError that says what is wrong with it, and where: bytes that are no UTF-8 first.
nlohmann::json parse_json(const Line& line);

/// Cores that this process may use.
int usable_cores();

}  // namespace athanor::launch
