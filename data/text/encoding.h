// Turns a stream in any encoding that ICU knows into UTF-8, and guesses the encoding of one that does not
// say.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "data/text/byte_source.h"

namespace athanor::text {

/// The most likely of "utf-8", "gb18030" and "windows-1252" (a superset of Latin-1) for text whose first
/// non-ASCII bytes are in `sample`. UTF-8 with a few damaged sequences is still UTF-8.
std::string guess_encoding(std::string_view sample);

/// A source of UTF-8 over `source`. `encoding` is "auto" or a name; "auto" honours a byte-order mark (UTF-8,
/// UTF-16, UTF-32), passes ASCII through, and guesses at the first other byte. Byte-order marks are removed.
/// Bytes that the encoding does not allow become U+FFFD, except in UTF-8, which is passed through unchecked:
/// repair_utf8 is for each document. Throws ConfigError for a name that ICU does not know; `path` is for
/// messages.
std::unique_ptr<ByteSource> make_utf8_source(std::unique_ptr<ByteSource> source, const std::string& encoding,
                                             const std::string& path);

}  // namespace athanor::text
