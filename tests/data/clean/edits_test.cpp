// What changes a text: normalisation, mojibake, markup, boilerplate, advertisements, personal data.
#include <gtest/gtest.h>

#include "data/clean/boilerplate.h"
#include "data/clean/markup.h"
#include "data/clean/mojibake.h"
#include "data/clean/normalise.h"
#include "data/clean/phrase_matcher.h"
#include "data/clean/privacy.h"

namespace athanor::clean {
namespace {

struct Case {
  std::string in, out;
};

std::string normalised(std::string text, const configs::CleanNormalise& options = {}) {
  const std::string before = text;
  const bool is_changed = normalise(options, text);
  EXPECT_EQ(is_changed, text != before);
  return text;
}

TEST(Normalise, WhiteSpaceAndInvisibleCharacters) {
  for (const auto& [in, out] : std::vector<Case>{{"a\r\nb\rc\n", "a\nb\nc"},
                                                 {"a  \t\nb", "a\nb"},
                                                 {"a\n\n\n\n\nb", "a\n\n\nb"},
                                                 {"\n\n  x", "  x"},
                                                 {"zero\u200Bwidth\uFEFF \u00ADsoft", "zerowidth soft"},
                                                 {"a\x07"
                                                  "b\x7F"
                                                  "c\u0085"
                                                  "d",
                                                  "abc\nd"},
                                                 {"no\u00A0break\u3000wide", "no break wide"},
                                                 {"line\u2028sep", "line\nsep"},
                                                 {"left\u202Eright", "leftright"},
                                                 {"中\u200D文", "中文"},
                                                 {"👩\u200D🔬", "👩\u200D🔬"},
                                                 {"\tkept\tindent", "\tkept\tindent"},
                                                 {"", ""}})
    EXPECT_EQ(normalised(in), out) << in;
}

TEST(Normalise, FormsAndWidths) {
  EXPECT_EQ(normalised("e\u0301"), "é");
  EXPECT_EQ(normalised("ＡＢＣ１２３，好！"), "ABC123，好！");
  EXPECT_EQ(normalised("ＡＢＣ，", {.full_width = "keep"}), "ＡＢＣ，");
  EXPECT_EQ(normalised("ＡＢＣ，", {.full_width = "all"}), "ABC,");
  EXPECT_EQ(normalised("ﬁ①，", {.form = "nfkc"}), "fi1，");
  EXPECT_EQ(normalised("ﬁ", {.form = "nfc"}), "ﬁ");
  EXPECT_EQ(normalised("e\u0301", {.form = "none"}), "e\u0301");
  EXPECT_EQ(normalised("a\u200Bb", {.remove_control = false}), "a\u200Bb");
}

TEST(Mojibake, RepairsWhatCanBeTold) {
  for (const auto& [in, out] : std::vector<Case>{{"cafÃ© and dÃ©jÃ\u00A0 vu", "café and déjà vu"},
                                                 {"itâ€™s a â€œtestâ€\u009D", "it’s a “test”"},
                                                 {"ä¸\u00ADæ–‡", "中文"},
                                                 {"鐨勬槸", "的是"}}) {
    std::string text = in;
    if (in.starts_with("鐨")) text += "鐨勬槸鐨勬槸鐨勬槸";
    EXPECT_TRUE(repair_mojibake(text)) << in;
    EXPECT_EQ(text.substr(0, out.size()), out);
    EXPECT_FALSE(is_mojibake(text, 0.01));
  }
}

TEST(Mojibake, LeavesGoodTextAlone) {
  for (std::string text : {"Älter als Öl, naïve café, ça va? «É»", "中文“引号”——没有问题。", "Привет, мир",
                           "plain", "£5 or €7 – ½ price"}) {
    const std::string before = text;
    EXPECT_FALSE(repair_mojibake(text)) << before;
    EXPECT_EQ(text, before);
    EXPECT_FALSE(is_mojibake(text, 0.01)) << before;
  }
}

TEST(Mojibake, FindsWhatCannotBeRepaired) {
  EXPECT_TRUE(is_mojibake("这是锟斤拷一段文字", 0.01));
  EXPECT_TRUE(is_mojibake("内存里烫烫烫的数据", 0.01));
  EXPECT_TRUE(is_mojibake("many � are � here", 0.01));
  EXPECT_FALSE(
      is_mojibake("one � in a hundred characters is not enough to drop a text that is otherwise perfectly "
                  "readable for all who want to read it",
                  0.01));
  EXPECT_TRUE(is_mojibake("ä¸?æ–‡ å¥½ ä½ ï¼Œæ˜¯ ä¸€ä¸?", 0.01));
}

TEST(Html, RemovesTagsItKnowsAndDecodesReferences) {
  for (const auto& [in, out] : std::vector<Case>{{"<p>one</p>\n<p>two</p>", "one\ntwo\n"},
                                                 {"a<b>bold</b>c", "aboldc"},
                                                 {"x<script>if (a < b) { go(); }</script>y", "x\ny"},
                                                 {"<!-- note -->text", "text"},
                                                 {"AT&amp;T &lt;b&gt; &#20013;&#x6587;", "AT&T <b> 中文"},
                                                 {"<a href=\"x>y\">link</a>", "link"},
                                                 {"line<br/>break", "line\nbreak"}}) {
    std::string text = in;
    EXPECT_TRUE(remove_html(text)) << in;
    EXPECT_EQ(text, out) << in;
  }
}

TEST(Html, LeavesEverythingElse) {
  for (std::string text :
       {"1 < 2 and 3 > 2", "std::vector<int> v;", "a & b; &unknown; &#xD800; &#0;", "<unclosed p", "<p", "<",
        "&", "<notatag>x</notatag>", "R&D", "<!-- never closed"}) {
    const std::string before = text;
    EXPECT_FALSE(remove_html(text)) << before;
    EXPECT_EQ(text, before);
  }
}

TEST(Html, LeavesCodeOfMarkdownAlone) {
  for (std::string text : {"```html\n<div>a &amp; b</div>\n```", "~~~\n<p>x</p>\n~~~~",
                           "Use `<div>` and ``<b>`</b>``.", "- item:\n\n    ```\n    <br>\n    ```\nend",
                           "> ```\n> <br>\n> ```", "````\n```\n<br>\n```\n````", "~~~ `x`\n<br>\n~~~"}) {
    const std::string before = text;
    EXPECT_FALSE(remove_html(text)) << before;
    EXPECT_EQ(text, before);
  }
  for (const auto& [in, out] : std::vector<Case>{
           {"<p>a</p>\n```\n<p>b</p>\n```\n<p>c</p>", "a\n```\n<p>b</p>\n```\nc\n"},
           {"<b>x</b> `<b>` <i>y</i>", "x `<b>` y"},
           {"```\n<p>never closed", "```\nnever closed"},
           {"```\n<b>x</b>\n~~~", "```\nx\n~~~"},
           {"````\n<b>x</b>\n```", "````\nx\n```"},
           {"one ` <b>x</b>\ntwo ` y", "one ` x\ntwo ` y"},
           {"\\`<b>x</b>`", "\\`x`"},
           {"the <script> tag\n```\n<script>f()</script>\n```", "the \ntag\n```\n<script>f()</script>\n```"},
           {"<!-- x\n```\n-->\n```\n-->end", "end"},
           {"<script>let a = `<b>`;</script>`<i>`", "`<i>`"}}) {
    std::string text = in;
    EXPECT_TRUE(remove_html(text)) << in;
    EXPECT_EQ(text, out) << in;
  }
}

TEST(Gutenberg, KeepsWhatStandsBetweenTheMarks) {
  std::string text =
      "Project Gutenberg's X\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\nbody\nmore\n*** END OF THIS "
      "PROJECT GUTENBERG EBOOK X ***\nlicence";
  EXPECT_TRUE(remove_gutenberg(text));
  EXPECT_EQ(text, "body\nmore");
  std::string other = "*** START OF THE SHOW ***\nno licence here";
  EXPECT_FALSE(remove_gutenberg(other));
}

TEST(Advertisements, RemovesLinesThatSell) {
  for (std::string line : {"【限时特价】茶叶厂家直销，全国包邮，加微信 wx88888 立即下单！",
                           "订购热线：400-123-4567，优惠多多，欢迎来电咨询！",
                           "Call now 1-800-555-1234 for a special offer, free shipping!",
                           "Click here to buy the best watches."}) {
    std::string text = "第一行正文。\n" + line + "\n最后一行正文。";
    EXPECT_EQ(remove_advertisement_lines(text).num_lines, 1U) << line;
    EXPECT_EQ(text, "第一行正文。\n最后一行正文。");
  }
}

TEST(Advertisements, LeavesOrdinaryMentions) {
  for (std::string text : {"他用微信给母亲发了一条消息。", "酒店办理入住很快，价格合理，下次还来。",
                           "The discount was small but welcome.", "我打电话问他几点出发。",
                           "The shop was closed, so we could not buy anything."}) {
    EXPECT_EQ(remove_advertisement_lines(text).num_lines, 0U) << text;
  }
  std::string policy = "Good text stays here.\nThis site uses cookies. Privacy policy\n版权所有 某某公司";
  EXPECT_EQ(remove_policy_lines(policy).num_lines, 2U);
  EXPECT_EQ(policy, "Good text stays here.");
}

TEST(Privacy, MasksWithCheckDigits) {
  struct PrivacyCase {
    std::string in, out;
  };
  for (const auto& [in, out] :
       std::vector<PrivacyCase>{{"mail a.b+c@example.org, now", "mail <EMAIL>, now"},
                                {"手机13812345678。", "手机<PHONE>。"},
                                {"tel +86 138-1234-5678.", "tel <PHONE>."},
                                {"身份证11010519491231002X号", "身份证<ID_CARD>号"},
                                {"card 4111 1111 1111 1111 ok", "card <BANK_CARD> ok"},
                                {"from 93.184.216.34:80", "from <IP>:80"}}) {
    std::string text = in;
    mask_personal_data({}, text);
    EXPECT_EQ(text, out);
  }
}

TEST(Privacy, LeavesNumbersThatAreNone) {
  for (std::string text :
       {"11010519491231002Y", "110105194912310021", "4111 1111 1111 1112", "12 34 56 78 90 12 34 56",
        "0.13812345678", "213812345678", "192.168.1.1 and 10.0.0.1", "version 1.2.3.4.5", "user@host",
        "@handle", "a@b.c", "999.1.1.1", "ID_13812345678", "3.14159265358979"}) {
    const std::string before = text;
    mask_personal_data({}, text);
    EXPECT_EQ(text, before);
  }
  std::string off = "a@example.org 13812345678";
  mask_personal_data({.email = false, .mobile_number = false}, off);
  EXPECT_EQ(off, "a@example.org 13812345678");
}

TEST(PhraseMatcher, FindsOverlappingPhrasesInEitherCase) {
  const PhraseMatcher matcher({{"he", 1}, {"she", 2}, {"hers", 3}, {"中文", 4}});
  std::vector<std::pair<int, size_t>> found;
  matcher.scan("uSHErs 中文", [&](int kind, size_t end) { found.emplace_back(kind, end); });
  EXPECT_EQ(found, (std::vector<std::pair<int, size_t>>{{2, 4}, {1, 4}, {3, 6}, {4, 13}}));
}

}  // namespace
}  // namespace athanor::clean
