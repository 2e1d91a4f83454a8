// Text that was decoded with the wrong encoding: undone where the bytes can be told, found where they cannot.
#pragma once

#include <string>
#include <string_view>

namespace athanor::clean {

/// Undoes, in place, UTF-8 that was read as Windows-1252 or Latin-1 ("Ã©", "ä¸­"), run by run, where at least
/// two runs (or one of three characters) come out as well-formed UTF-8 and nine in ten such runs do; up to
/// three layers. Undoes UTF-8 that was read as GB18030 ("鐨勬槸") where the whole text converts back. Returns
/// true when it changed.
bool repair_mojibake(std::string& text);

/// True when the text still shows the traces of a wrong decoding: replacement characters beyond
/// `max_replaced_share` of its characters, what GB18030 makes of them (锟斤拷), uninitialised memory (烫烫烫,
/// 屯屯屯), or a high share of the characters that UTF-8 read as Windows-1252 or as GB18030 consists of.
bool is_mojibake(std::string_view text, double max_replaced_share);

}  // namespace athanor::clean
