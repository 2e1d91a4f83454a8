// Text that is no content: Project Gutenberg's licence, advertising lines, cookie and policy notices.
#pragma once

#include <string>

namespace athanor::clean {

/// Keeps, in place, what stands between Gutenberg's START and END marks; also cuts the licence that follows
/// an END mark without a START mark. Returns true when it changed.
bool remove_gutenberg(std::string& text);

struct LineRemoval {
  size_t num_lines = 0;
  double share = 0;  ///< of the bytes that the text had
};

/// Removes lines that advertise: a way of contact (mobile or service number, WeChat or QQ id, URL, "加微信",
/// "call now") together with sales words, or four strong sales words in 120 characters.
/// One phrase alone never makes a line an advertisement, except those that nothing but advertisements use.
LineRemoval remove_advertisement_lines(std::string& text);

/// Removes lines of up to 300 bytes about cookies, terms of use, privacy policy or enabling JavaScript (C4's
/// list and its Chinese counterparts).
LineRemoval remove_policy_lines(std::string& text);

}  // namespace athanor::clean
