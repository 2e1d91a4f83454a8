// Removes HTML from text: a first level for text that still holds tags, not a parser of pages.
#pragma once

#include <string>

namespace athanor::clean {

/// Removes, in place, tags that HTML knows (any other <...> stays), comments, the content of script and style
/// elements, and decodes character references. Block elements become line ends. Markdown's fenced blocks and
/// code spans stay as they are. Takes time in proportion to the text. Returns true when it changed.
bool remove_html(std::string& text);

}  // namespace athanor::clean
