#include "data/synth/grammars.h"

namespace athanor::synth {

// Small programs that run: functions with a comment, put together in random order, with names that differ.
const std::string_view kCode = R"g(
noun: item|record|order|pupil|ticket|packet|reading|parcel|entry|sample|token|signal|letter|vehicle|account|message|sensor|payment|recipe|voter|invoice|node|label|player
field: size|weight|score|price|length|height|age|count|level|rate|depth|width|value|cost|rank|speed|volume|temperature
verb: collect|filter|measure|compare|update|summarize|group|scan|sort|convert|inspect|merge|reduce|balance|rescale|report
why: so that the report stays small|because old files may hold gaps|since the caller checks the rest|before the results are stored|as the manual for ~t_town~ asks|because zero has a special meaning here|so that equal inputs give equal outputs
adj: total|largest|smallest|average|first|last|missing|valid|recent|daily|local|global|raw|final
python: """~^verb~ ~n=noun~s by ~f=field~ and ~g=field~, ~why~."""\n~py_import~\n\n\n~*py_function~\n\n\n~*py_function~\n\n\n~*py_function~\n\n\n~py_main~|
 ~py_import~\n\n# Tools for every ~n=noun~ with a ~f=field~ and a ~g=field~, ~why~.\n\n\n~*py_function~\n\n\n~py_class~\n\n\n~*py_function~\n\n\n~py_main~
py_import: import math\nimport sys|import json\nfrom collections import defaultdict|import random\nimport itertools|from dataclasses import dataclass\nimport math
py_function: def ~v1=verb~_~n~s(~n~s, limit=~#2-90~):\n    """Return every ~n~ whose ~f~ is above the limit."""\n    kept = []\n    for ~n~ in ~n~s:\n        if ~n~["~f~"] > limit:\n            kept.append(~n~)\n    return kept|
 def ~adj~_~f~(~n~s):\n    # An empty list has no ~f~, ~why~.\n    if not ~n~s:\n        return 0\n    return sum(~n~["~f~"] for ~n~ in ~n~s) / len(~n~s)|
 def count_by_~g~(~n~s):\n    counts = {}\n    for ~n~ in ~n~s:\n        key = ~n~.get("~g~", "~adj~")\n        counts[key] = counts.get(key, 0) + ~#1-3~\n    return counts|
 def ~v3=verb~_in_steps(start, stop, step=~#2-12~):\n    result = []\n    while start < stop:\n        result.append(start)\n        start += step\n    return result|
 def is_prime(number):\n    """Tell whether the ~f~ is a prime, ~why~."""\n    if number < 2:\n        return False\n    for divisor in range(2, int(number ** 0.5) + 1):\n        if number % divisor == 0:\n            return False\n    return True|
 def greatest_common_divisor(a, b):\n    # Euclid's method on ~f~ and ~g~, ~why~.\n    while b != 0:\n        a, b = b, a % b\n    return a|
 def parse_~n~(line):\n    """Split a line such as name,~#10-99~,~#10-99~ into its fields."""\n    parts = line.strip().split(",")\n    if len(parts) != 3:\n        raise ValueError("a ~n~ has three fields: " + line)\n    return {"name": parts[0], "~f~": int(parts[1]), "~g~": int(parts[2])}|
 def find_~n~(~n~s, name):\n    low, high = 0, len(~n~s) - 1\n    while low <= high:\n        middle = (low + high) // 2\n        if ~n~s[middle]["name"] == name:\n            return middle\n        if ~n~s[middle]["name"] < name:\n            low = middle + 1\n        else:\n            high = middle - 1\n    return -1|
 def fibonacci(n):\n    # The ~f~ grows like this sequence, ~why~.\n    previous, current = 0, 1\n    for _ in range(n):\n        previous, current = current, previous + current\n    return previous|
 def format_table(rows):\n    """Line up the columns ~f~ and ~g~, ~why~."""\n    lines = []\n    for row in rows:\n        lines.append("  ".join(str(cell).ljust(~#8-20~) for cell in row))\n    return "\\n".join(lines)
py_class: class ~^n~Store:\n    """Keeps each ~n~ under its name, ~why~."""\n\n    def __init__(self):\n        self.~n~s = {}\n        self.~adj~_~g~ = ~#0-50~\n\n    def add(self, name, ~f~):\n        if name in self.~n~s:\n            raise KeyError(name)\n        self.~n~s[name] = ~f~\n\n    def ~adj~(self):\n        return sorted(self.~n~s, key=self.~n~s.get)[-~#1-5~:]
py_main: if __name__ == "__main__":\n    data = [{"name": "~p_name~", "~f~": ~#10-99~, "~g~": ~#1-60~}, {"name": "~q_name~", "~f~": ~#10-99~, "~g~": ~#1-60~}]\n    print(len(data), "~n~s from ~t_town~")|
 def main():\n    total = 0\n    for number in range(~#5-40~):\n        total += number * ~#2-9~\n    print("~adj~ ~f~ of ~t_town~:", total)\n\n\nmain()
cpp: // ~^verb~ ~n=noun~s by ~f=field~ and ~g=field~, ~why~.\n#include <~cpp_header~>\n#include <string>\n#include <vector>\n\nnamespace ~n~_tools {\n\nstruct ~^n~ {\n  std::string name;\n  int ~f~ = ~#0-20~;\n  double ~adj~_~g~ = ~#1-9~.5;\n};\n\n~*cc_function~\n\n~*cc_function~\n\n~*cc_function~\n\n}  // namespace ~n~_tools|
 #include <~cpp_header~>\n#include <iostream>\n#include <vector>\n\n// Every ~n=noun~ of ~t_town~ has a ~f=field~ and a ~g=field~, ~why~.\nstruct ~^n~ {\n  std::string name;\n  int ~f~;\n};\n\n~*cc_function~\n\n~*cc_function~\n\nint main() {\n  std::vector<int> values = {~#1-9~, ~#10-40~, ~#41-99~};\n  for (int value : values) {\n    std::cout << "~f~ " << value << '\\n';\n  }\n  return 0;\n}
cpp_header: algorithm|map|numeric|memory|cmath|set
cc_function: int ~adj~_~f~(const std::vector<~^n~>& ~n~s) {\n  int sum = ~#0-3~;\n  for (const auto& ~n~ : ~n~s) {\n    sum += ~n~.~f~;  // ~why~\n  }\n  return sum;\n}|
 bool has_~g~(const std::string& line) {\n  // A line without the mark is skipped, ~why~.\n  return line.find("~g~=") != std::string::npos;\n}|
 long power(long base, int exponent) {\n  long result = 1;\n  while (exponent > 0) {\n    if (exponent % 2 == 1) result *= base;\n    base *= base;  // ~why~\n    exponent /= 2;\n  }\n  return result;\n}|
 std::vector<int> ~verb~_up_to(int limit) {\n  std::vector<int> numbers;\n  for (int i = ~#0-5~; i < limit; i += ~#2-7~) {\n    numbers.push_back(i);\n  }\n  return numbers;\n}|
 int find_~n~(const std::vector<~^n~>& ~n~s, int ~f~) {\n  for (std::size_t i = 0; i < ~n~s.size(); ++i) {\n    if (~n~s[i].~f~ == ~f~) return static_cast<int>(i);\n  }\n  return -1;  // ~why~\n}|
 void ~verb~_in_place(std::vector<int>& values) {\n  // Insertion sort is enough for a short list of ~f~ values, ~why~.\n  for (std::size_t i = 1; i < values.size(); ++i) {\n    for (std::size_t j = i; j > 0 && values[j] < values[j - 1]; --j) {\n      std::swap(values[j], values[j - 1]);\n    }\n  }\n}|
 int gcd(int a, int b) {\n  return b == 0 ? a : gcd(b, a % b);  // ~why~\n}|
 class Counter {\n public:\n  void add(int ~f~) { total_ += ~f~; }\n  int ~adj~_total() const { return total_; }\n\n private:\n  int total_ = ~#0-9~;  // ~why~\n};
)g";

// What real data has too much of.
const std::string_view kDirt = R"g(
zh_advertisement: ~*zx_line~\n~*zx_line~\n~*zx_line~\n~*zx_line~|~*zx_line~~*zx_line~\n~*zx_line~\n~*zx_line~
zh_ad_line: ~*zx_line~
zx_line: 【限时特价】~t_product~厂家直销，全国包邮，加微信 wx~#10000-99999~ 立即下单！|~t_town~~fruit~批发，低价现货，订购热线：400-~#100-999~-~#1000-9999~，欢迎来电咨询！|
 扫码关注公众号，免费领取红包，限时秒杀只要~#9-99~元起！|诚招~t_product~代理，月入过万不是梦，联系QQ：~#10000000-99999999~。|点击购买正品~t_product~，满减优惠，货到付款，官网 www.shop~#100-999~.example.com 。|
 贷款秒批，无需抵押，利息低，电话 1~#3-9~~#100000000-999999999~，优惠名额限时抢购！|清仓促销，全场~#1-9~折，添加微信 vip~#1000-9999~ 领优惠券，先到先得！|兼职日赚~#200-900~元，在家就能做，加微信 job~#1000-9999~ 了解详情！|
 ~t_festival~大抽奖，下单就送好礼，客服QQ ~#100000000-999999999~，抢购从速！|代开发票，正规可查，电话微信同号 1~#3-9~~#100000000-999999999~，包邮到家！
en_advertisement: ~*ex_line~\n~*ex_line~\n~*ex_line~\n~*ex_line~|~*ex_line~ ~*ex_line~\n~*ex_line~\n~*ex_line~
en_ad_line: ~*ex_line~
ex_line: Limited time special offer: buy now and save ~#20-80~% off at www.shop~#100-999~.example.com with free shipping!|Call now 1-800-~#100-999~-~#1000-9999~ to order, and get a free gift with every purchase!|
 Click here to buy the best ~t_product~ at the lowest price, money back guaranteed, order now!|Act now and use promo code SAVE~#10-90~ for a discount on our website www.deal~#100-999~.example.com before it is too late!|
 Earn money and work from home: sign up at www.cash~#100-999~.example.com for a free trial, limited time only!|Shop now for cheap watches, free shipping, best price, coupon inside, visit our website www.watch~#10-99~.example.com today!|
 Do not wait: contact us on WhatsApp +1 555 ~#1000000-9999999~ for a special offer and the best price in town!|Subscribe and don't miss the lowest price of the year, click the link www.sale~#100-999~.example.com and order now!
)g";

}  // namespace athanor::synth
