// Ways to spoil a text, each a pure function of the text and a sequence of choices.
#pragma once

#include <string>
#include <string_view>

#include "data/synth/grammar.h"

namespace athanor::synth {

/// One to three small edits: a word or a character replaced.
std::string edit_slightly(std::string_view text, Choices& choices);
/// One or two of `lines` between the lines of the text.
std::string insert_lines(std::string_view text, const std::vector<std::string>& lines, Choices& choices);
/// An HTML page around the text, with its paragraphs in tags, references, a script and a style.
std::string wrap_in_html(std::string_view text, Choices& choices);
/// The text as if its UTF-8 had been read as Windows-1252 (whole or with losses), or with 锟斤拷 or U+FFFD in
/// it.
std::string garble(std::string_view text, Choices& choices);
/// A sentence with a mobile number, an identity number, a bank card, an e-mail or an IP address; all
/// invented, all with valid check digits.
std::string personal_sentence(bool is_chinese, Choices& choices);
/// Code with a bracket or a quote missing, or cut in the middle.
std::string break_code(std::string_view code, Choices& choices);
/// A phrase of the text, over and over.
std::string repeat_keyword(std::string_view text, Choices& choices);
/// The text in short lines, each cut before its sentence ends.
std::string truncate_lines(std::string_view text, Choices& choices);

}  // namespace athanor::synth
