// The content of the sample corpus, as grammars (grammar.h). Variables that the world sets: t_*, u_* for two
// towns, p_*, q_* for two people (world.h).
#pragma once

#include <string_view>

namespace athanor::synth {

/// Roots zh_story, zh_town, zh_person, zh_dialogue, zh_howto, zh_poem, zh_letter, zh_cause, zh_news, zh_math.
extern const std::string_view kChineseWords, kChineseTexts, kChineseMath;

/// Roots en_story, en_town, en_person, en_dialogue, en_howto, en_poem, en_letter, en_cause, en_news, en_math.
extern const std::string_view kEnglishWords, kEnglishTexts, kEnglishMath;

/// Roots python, cpp.
extern const std::string_view kCode;

/// Roots zh_advertisement, en_advertisement (whole documents), zh_ad_line, en_ad_line.
extern const std::string_view kDirt;

}  // namespace athanor::synth
