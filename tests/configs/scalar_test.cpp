// Numbers, booleans and intervals without guessing.
#include "configs/scalar.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "configs/interval.h"
#include "configs/print.h"
#include "configs/utf8.h"

namespace athanor::configs {
namespace {

TEST(ReadInteger, TakesDecimalDigitsOnly) {
  EXPECT_EQ(read_integer("0").value, 0);
  EXPECT_EQ(read_integer("-12").value, -12);
  EXPECT_EQ(read_integer("+12").value, 12);
  EXPECT_EQ(read_integer("1_000_000").value, 1'000'000);
  EXPECT_EQ(read_integer("9223372036854775807").value, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(read_integer("-9223372036854775808").value, std::numeric_limits<int64_t>::min());
  for (const char* text : {"",
                           "-",
                           "+",
                           "_1",
                           "1_",
                           "1__0",
                           "1e3",
                           "1.0",
                           "0x10",
                           "0b1",
                           "0o7",
                           "010",
                           " 1",
                           "1 ",
                           "--1",
                           "+-1",
                           "9223372036854775808",
                           "18446744073709551616",
                           "true",
                           "1,000",
                           "one",
                           "1\xc2\xa0"
                           "000"}) {
    EXPECT_FALSE(read_integer(text).value) << text;
    EXPECT_FALSE(read_integer(text).problem.empty()) << text;
  }
}

TEST(ReadNumber, TakesFiniteDecimalsOnly) {
  EXPECT_EQ(read_number("3").value, 3.0);
  EXPECT_EQ(read_number("3.0e-4").value, 3e-4);
  EXPECT_EQ(read_number("1e3").value, 1000.0);
  EXPECT_EQ(read_number(".5").value, 0.5);
  EXPECT_EQ(read_number("5.").value, 5.0);
  EXPECT_EQ(read_number("+1_000.5").value, 1000.5);
  EXPECT_EQ(read_number("-0.25E+2").value, -25.0);
  for (const char* text : {"", ".", "-", "e3", "1e", "1e+", "nan", ".nan", "inf", "-.inf", "infinity",
                           "0x1p3", "1e999", "1..2", "1.2.3", "1,5", "3e-4e", "1 2", "--1"}) {
    EXPECT_FALSE(read_number(text).value) << text;
  }
}

TEST(ReadBool, RefusesWhatYamlVersionsDisagreeOn) {
  EXPECT_EQ(read_bool("true").value, true);
  EXPECT_EQ(read_bool("False").value, false);
  for (const char* text : {"yes", "no", "on", "off", "y", "n", "1", "0", "", "tRUE"}) {
    EXPECT_FALSE(read_bool(text).value) << text;
  }
}

TEST(PrintNumber, ReadsBackToTheSameBits) {
  for (const double value :
       {0.0, -0.0, 1.0, 0.1, 3e-4, 1e-8, 1e22, 1e23, 5e-324, 1.7976931348623157e308, 1.0 / 3.0}) {
    const Read<double> again = read_number(print_number(value));
    ASSERT_TRUE(again.value) << print_number(value);
    EXPECT_EQ(*again.value, value) << print_number(value);
    EXPECT_EQ(std::signbit(*again.value), std::signbit(value));
    EXPECT_NE(print_number(value).find('.'), std::string::npos) << "YAML 1.1 readers take it for text";
  }
}

TEST(ParseInterval, IsTimeOrSteps) {
  EXPECT_EQ(parse_interval("60s"), (Interval{.seconds = 60}));
  EXPECT_EQ(parse_interval("1.5m"), (Interval{.seconds = 90}));
  EXPECT_EQ(parse_interval("2h"), (Interval{.seconds = 7200}));
  EXPECT_EQ(parse_interval("1d"), (Interval{.seconds = 86400}));
  EXPECT_EQ(parse_interval("100"), (Interval{.steps = 100}));
  EXPECT_EQ(parse_interval("100 steps"), (Interval{.steps = 100}));
  EXPECT_EQ(parse_interval("1 step"), (Interval{.steps = 1}));
  EXPECT_TRUE(parse_interval("0")->is_never());
  for (const char* text : {"", "s", "m", "-5s", "0s", "5 s", "60x", "1e30s", "-3", "steps", " steps",
                           "5 stepss", "nans", "1h30m", "1.5", "1.5 steps", "9999999999999999999999"}) {
    EXPECT_FALSE(parse_interval(text)) << text;
  }
}

TEST(PrintText, QuotesWhatCouldMeanSomethingElse) {
  EXPECT_EQ(print_text("runs/a-b_c.d"), "runs/a-b_c.d");
  for (const char* text : {"", "no", "Null", "3", "1e3", "-a", "a: b", "*.h5", "a #b", "~", "#"}) {
    EXPECT_EQ(print_text(text).front(), '"') << text;
  }
  EXPECT_EQ(print_text("a\"\\\x01"), "\"a\\\"\\\\\\x01\"");
}

TEST(FindTextFault, KnowsUtf8) {
  EXPECT_FALSE(find_text_fault("tab\t line\r\n \xe4\xb8\xad \xf0\x9f\x98\x80 \xef\xbb\xbf"));
  const auto fault = find_text_fault("a\nbc\xff");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->line, 2);
  EXPECT_EQ(fault->column, 3);
  for (const char* text :
       {"\xf4\x90\x80\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80", "\xc2\x80", "\x80", "\xc2"}) {
    EXPECT_TRUE(find_text_fault(text));
  }
}

}  // namespace
}  // namespace athanor::configs
