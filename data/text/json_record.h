// One document as a JSON object on one line.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace athanor::text {

/// A document as it was read.
struct Document {
  std::string text;
  std::string source;  ///< the field "source" when it is a string; else empty
  /// The other fields but for "text", "source" and "language" as JSON members, `"id":7,"url":"…"`, without
  /// braces; may be empty. Keys and values are those of the input, byte for byte, but for white space between
  /// tokens.
  std::string fields;
};

/// Parses JSON objects. Holds buffers, so one per thread; results do not depend on what was parsed before.
class JsonRecordParser {
 public:
  JsonRecordParser();
  ~JsonRecordParser();
  JsonRecordParser(JsonRecordParser&&) noexcept;

  /// The object in `line`: the texts of `text_fields`, joined by newlines, and the rest. Lone surrogates
  /// become U+FFFD. Of `text_fields` and "source" that come more than once the last one holds. Returns an
  /// empty string, or why the line holds no document (not JSON and where, no object, a field that is missing
  /// or is no string).
  std::string parse(std::string_view line, const std::vector<std::string>& text_fields, bool keep_fields,
                    Document& document);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Appends `text` (well-formed UTF-8) as a JSON string, quotes included.
void append_json_string(std::string& out, std::string_view text);

}  // namespace athanor::text
