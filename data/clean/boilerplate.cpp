#include "data/clean/boilerplate.h"

#include <algorithm>
#include <string_view>

#include "data/clean/phrase_matcher.h"
#include "data/text/ascii.h"
#include "data/text/utf8.h"

namespace athanor::clean {
namespace {

enum Kind { kContact, kSales, kWeakSales, kOnlyAds, kPolicy };

const PhraseMatcher& advertisement_phrases() {
  static const PhraseMatcher matcher({
      {"微信", kContact},
      {"威信", kContact},
      {"薇信", kContact},
      {"扣扣", kContact},
      {"QQ", kContact},
      {"Q群", kContact},
      {"电话", kContact},
      {"热线", kContact},
      {"手机号", kContact},
      {"联系方式", kContact},
      {"咨询", kContact},
      {"公众号", kContact},
      {"二维码", kContact},
      {"官网", kContact},
      {"链接", kContact},
      {"加群", kContact},
      {"客服", kContact},
      {"www.", kContact},
      {"http", kContact},
      {"旺旺", kContact},
      {"抖音号", kContact},
      {"优惠", kWeakSales},
      {"促销", kSales},
      {"包邮", kSales},
      {"免费领", kSales},
      {"免费试", kSales},
      {"限时", kSales},
      {"秒杀", kSales},
      {"特价", kSales},
      {"打折", kSales},
      {"折扣", kSales},
      {"低价", kSales},
      {"批发", kSales},
      {"代理", kWeakSales},
      {"加盟", kSales},
      {"下单", kSales},
      {"抢购", kSales},
      {"抽奖", kSales},
      {"红包", kSales},
      {"返现", kSales},
      {"返利", kSales},
      {"满减", kSales},
      {"现货", kWeakSales},
      {"厂家直销", kSales},
      {"正品", kSales},
      {"货到付款", kSales},
      {"欢迎来电", kSales},
      {"诚招", kSales},
      {"招商", kSales},
      {"贷款", kWeakSales},
      {"办理", kWeakSales},
      {"立即购买", kSales},
      {"点击购买", kSales},
      {"点击领取", kSales},
      {"购买", kWeakSales},
      {"详情", kWeakSales},
      {"领取", kWeakSales},
      {"兼职", kSales},
      {"日赚", kSales},
      {"月入", kSales},
      {"会员", kWeakSales},
      {"课程", kWeakSales},
      {"价格", kWeakSales},
      {"元起", kSales},
      {"送好礼", kSales},
      {"礼品", kWeakSales},
      {"注册即送", kSales},
      {"扫码", kSales},
      {"关注", kWeakSales},
      {"回收", kWeakSales},
      {"报名", kWeakSales},
      {"仅需", kSales},
      {"火热", kSales},
      {"加微信", kOnlyAds},
      {"加我微信", kOnlyAds},
      {"添加微信", kOnlyAds},
      {"加V信", kOnlyAds},
      {"加VX", kOnlyAds},
      {"扫码关注", kOnlyAds},
      {"扫描二维码关注", kOnlyAds},
      {"代开发票", kOnlyAds},
      {"办证刻章", kOnlyAds},
      {"关注微信公众号", kOnlyAds},
      {"点击进入官网", kOnlyAds},
      {"call now", kContact},
      {"call us", kContact},
      {"contact us", kContact},
      {"visit our", kContact},
      {"click here", kContact},
      {"click the link", kContact},
      {"whatsapp", kContact},
      {"hotline", kContact},
      {"our website", kContact},
      {".com", kContact},
      {"sign up", kContact},
      {"text us", kContact},
      {"buy now", kSales},
      {"order now", kSales},
      {"shop now", kSales},
      {"free shipping", kSales},
      {"limited time", kSales},
      {"discount", kSales},
      {"% off", kSales},
      {"best price", kSales},
      {"lowest price", kSales},
      {"special offer", kSales},
      {"promo code", kSales},
      {"coupon", kSales},
      {"money back", kSales},
      {"act fast", kSales},
      {"don't miss", kSales},
      {"act now", kSales},
      {"subscribe", kWeakSales},
      {"earn money", kSales},
      {"work from home", kSales},
      {"for sale", kWeakSales},
      {"cheap", kWeakSales},
      {"free trial", kSales},
      {"free gift", kSales},
      {"guaranteed", kWeakSales},
      {"deal", kWeakSales},
      {"while supplies last", kSales},
      {"casino", kSales},
      {"add to cart", kSales},
      {"click here to buy", kOnlyAds},
      {"call now to order", kOnlyAds},
      {"use promo code", kOnlyAds},
  });
  return matcher;
}

const PhraseMatcher& policy_phrases() {
  static const PhraseMatcher matcher({{"terms of use", kPolicy},
                                      {"privacy policy", kPolicy},
                                      {"cookie policy", kPolicy},
                                      {"uses cookies", kPolicy},
                                      {"use of cookies", kPolicy},
                                      {"use cookies", kPolicy},
                                      {"enable javascript", kPolicy},
                                      {"javascript is disabled", kPolicy},
                                      {"requires javascript", kPolicy},
                                      {"all rights reserved", kPolicy},
                                      {"版权所有", kPolicy},
                                      {"未经授权禁止转载", kPolicy},
                                      {"隐私政策", kPolicy},
                                      {"用户协议", kPolicy},
                                      {"备案号", kPolicy},
                                      {"ICP备", kPolicy},
                                      {"公网安备", kPolicy},
                                      {"请启用JavaScript", kPolicy},
                                      {"请使用支持JavaScript", kPolicy}});
  return matcher;
}

// A telephone-like number: seven digits or more, single blanks, hyphens or dots between them allowed.
bool has_long_number(std::string_view line) {
  int num_digits = 0;
  bool follows_separator = false;
  for (char c : line) {
    if (text::is_ascii_digit(c)) {
      follows_separator = false;
      if (++num_digits >= 7) return true;
    } else if (!follows_separator && num_digits > 0 && (c == '-' || c == ' ')) {
      follows_separator = true;
    } else {
      num_digits = 0;
    }
  }
  return false;
}

struct Counts {
  int contacts = 0, sales = 0, weak_sales = 0, only_ads = 0;
};

bool is_advertisement(std::string_view line, const Counts& counts) {
  const int all_sales = counts.sales + counts.weak_sales;
  if (counts.only_ads == 0 && all_sales == 0) return false;
  const size_t num_chars = text::count_code_points(line);
  if (num_chars > 400) return false;
  if (counts.only_ads > 0 && (num_chars <= 200 || all_sales + counts.contacts > 1)) return true;
  const bool has_number = counts.contacts > 0 && has_long_number(line);
  if (has_number && (counts.sales > 0 || counts.weak_sales > 1)) return true;
  if (counts.contacts > 0 && counts.sales > 0 && counts.contacts + all_sales >= 3 && num_chars <= 200)
    return true;
  return counts.sales >= 4 && num_chars <= 120;
}

struct LineEnd {
  size_t end;   ///< without the newline
  size_t next;  ///< where the next line begins
};

LineEnd line_end(std::string_view text, size_t begin) {
  const size_t end = std::min(text.find('\n', begin), text.size());
  return {end, std::min(end + 1, text.size())};
}

// Rewrites `text` without the lines for which `is_unwanted(begin, end)` holds.
LineRemoval remove_lines(std::string& text, auto&& is_unwanted) {
  LineRemoval removal;
  std::string kept;
  size_t copied = 0, removed_bytes = 0;
  for (size_t begin = 0; begin < text.size();) {
    const LineEnd line = line_end(text, begin);
    if (is_unwanted(begin, line.end)) {
      kept.append(text, copied, begin - copied);
      copied = line.next;
      removed_bytes += line.next - begin;
      ++removal.num_lines;
    }
    begin = line.next;
  }
  if (removal.num_lines == 0) return removal;
  removal.share = static_cast<double>(removed_bytes) / static_cast<double>(text.size());
  kept.append(text, copied);
  while (!kept.empty() && kept.back() == '\n') kept.pop_back();
  text.swap(kept);
  return removal;
}

struct Hit {
  int kind;
  size_t end;
};

std::vector<Hit> find_all(const PhraseMatcher& matcher, std::string_view text) {
  std::vector<Hit> hits;
  matcher.scan(text, [&](int kind, size_t end) { hits.push_back({kind, end}); });
  return hits;
}

size_t find_any(std::string_view text, std::initializer_list<std::string_view> marks) {
  size_t first = std::string_view::npos;
  for (auto mark : marks) first = std::min(first, text.find(mark));
  return first;
}

}  // namespace

bool remove_gutenberg(std::string& text) {
  const size_t start = find_any(text, {"*** START OF TH", "***START OF TH"});
  const size_t end = find_any(text, {"*** END OF TH", "***END OF TH", "End of the Project Gutenberg EBook",
                                     "End of Project Gutenberg's", "End of the Project Gutenberg eBook"});
  const bool has_start = start != std::string::npos,
             has_end = end != std::string::npos && (!has_start || end > start);
  if ((!has_start && !has_end) || text.find("Gutenberg") == std::string::npos) return false;
  const size_t begin = has_start ? line_end(text, start).next : 0;
  const size_t line_of_end = has_end ? text.rfind('\n', end) : std::string::npos;
  const size_t stop = !has_end ? text.size() : line_of_end == std::string::npos ? end : line_of_end;
  text = text.substr(begin, std::max(stop, begin) - begin);
  return true;
}

LineRemoval remove_advertisement_lines(std::string& text) {
  const auto hits = find_all(advertisement_phrases(), text);
  if (hits.empty()) return {};
  size_t next = 0;
  return remove_lines(text, [&](size_t begin, size_t end) {
    Counts counts;
    for (; next < hits.size() && hits[next].end <= end; ++next) {
      counts.contacts += hits[next].kind == kContact;
      counts.sales += hits[next].kind == kSales;
      counts.weak_sales += hits[next].kind == kWeakSales;
      counts.only_ads += hits[next].kind == kOnlyAds;
    }
    return is_advertisement(std::string_view(text).substr(begin, end - begin), counts);
  });
}

LineRemoval remove_policy_lines(std::string& text) {
  const auto hits = find_all(policy_phrases(), text);
  if (hits.empty()) return {};
  size_t next = 0;
  return remove_lines(text, [&](size_t begin, size_t end) {
    const size_t first = next;
    while (next < hits.size() && hits[next].end <= end) ++next;
    return next > first && end - begin <= 300;
  });
}

}  // namespace athanor::clean
