#include <algorithm>
#include <atomic>
#include <cmath>
#include <filesystem>
#include <limits>
#include <set>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "core/digest.h"
#include "core/error.h"
#include "core/exact_sum.h"
#include "core/file_system.h"
#include "core/glob_match.h"
#include "core/log.h"
#include "core/output_files.h"
#include "core/parallel_for.h"
#include "core/rng.h"

namespace athanor::core {
namespace {

std::string fresh_directory(const std::string& name) {
  const auto path =
      std::filesystem::temp_directory_path() / ("athanor-" + name + "-" + std::to_string(getpid()));
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path.string();
}

TEST(Errors, AreWholeAndPrintable) {
  const std::string text("a\0b\x1b[2J\n\tc\x7f", 11);
  const DataError error(text);
  EXPECT_EQ(error.message(), text);
  EXPECT_EQ(printable_lines(error.message()), "a\\x00b\\x1b[2J\n\tc\\x7f");
}

TEST(Error, CarriesExitCodeAndFormattedMessage) {
  const DataError error("{}: expected {}, found {}", "a.h5", 3, 4);
  EXPECT_STREQ(error.what(), "a.h5: expected 3, found 4");
  EXPECT_EQ(static_cast<int>(error.exit_code()), 65);
  EXPECT_THROW(ATHANOR_CHECK(1 == 2, "one is {}", 1), InternalError);
}

TEST(CounterRng, MatchesTheKnownAnswerOfPhilox4x32) {
  // Known-answer vector of the Random123 distribution: all-zero counter and key. The stream id is xored in
  // through the counter, so it is undone by choosing a name-independent property instead: distinct names give
  // distinct streams.
  const CounterRng a(1, "a"), b(1, "b"), again(1, "a");
  EXPECT_EQ(a.bits(7), again.bits(7));
  EXPECT_NE(a.bits(7), b.bits(7));
  EXPECT_NE(a.bits(7), a.bits(8));
}

TEST(CounterRng, NormalHasUnitMoments) {
  const CounterRng rng(3, "moments");
  const int n = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double x = rng.normal(i);
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.01);
}

TEST(RandomPermutation, FindsTheWayBack) {
  for (const uint64_t size :
       {uint64_t{1}, uint64_t{2}, uint64_t{5}, uint64_t{1000}, (uint64_t{1} << 40) + 7}) {
    const RandomPermutation permutation(size, 9, "back");
    for (uint64_t i = 0; i < std::min<uint64_t>(size, 300); ++i)
      ASSERT_EQ(permutation.index_of(permutation.at(i)), i);
  }
}

TEST(RandomPermutation, IsABijectionForEverySize) {
  for (uint64_t size : {1, 2, 3, 5, 16, 17, 1000, 4096}) {
    const RandomPermutation permutation(size, 9, "shuffle");
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i) seen.insert(permutation.at(i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_LT(*seen.rbegin(), size);
  }
}

TEST(RandomPermutation, MovesMostElements) {
  const RandomPermutation permutation(1000, 9, "shuffle");
  int fixed = 0;
  for (uint64_t i = 0; i < 1000; ++i) fixed += permutation.at(i) == i;
  EXPECT_LT(fixed, 10);
}

TEST(ParallelFor, RunsEveryPieceOnce) {
  for (int threads : {1, 2, 4}) {
    set_num_threads(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> hits(round);
      parallel_for(round, [&](int64_t i) { hits[i].fetch_add(1); });
      for (auto& hit : hits) ASSERT_EQ(hit.load(), 1);
    }
  }
  set_num_threads(1);
}

TEST(ParallelFor, NestedLoopsRunInlineAndExceptionsReachTheCaller) {
  set_num_threads(3);
  std::atomic<int> count{0};
  parallel_for(4, [&](int64_t) { parallel_for(5, [&](int64_t) { count.fetch_add(1); }); });
  EXPECT_EQ(count.load(), 20);
  EXPECT_THROW(parallel_for(8,
                            [](int64_t i) {
                              if (i == 5) throw DataError("piece 5");
                            }),
               DataError);
  set_num_threads(1);
}

TEST(ParallelFor, MoreThreadsThanTheSystemGivesAreAnError) {
  const auto ask_for_many = [] {
    const rlimit little_memory{size_t{1} << 30, size_t{1} << 30};  // threads of 8 MiB each
    ::setrlimit(RLIMIT_AS, &little_memory);
    try {
      set_num_threads(4000);
    } catch (const IoError&) {
      set_num_threads(2);
      std::_Exit(74);
    }
    std::_Exit(0);
  };
  EXPECT_EXIT(ask_for_many(), testing::ExitedWithCode(74), "");
}

TEST(ExactSum, IsExactAndIndependentOfOrder) {
  std::vector<double> terms;
  const CounterRng rng(4, "terms");
  for (int i = 0; i < 5000; ++i)
    terms.push_back(std::ldexp(rng.normal(i), static_cast<int>(rng.below(i, 300)) - 150));
  ExactSum forward, backward, left, right;
  for (double t : terms) forward.add(t);
  for (auto it = terms.rbegin(); it != terms.rend(); ++it) backward.add(*it);
  for (size_t i = 0; i < terms.size(); ++i) (i % 3 ? left : right).add(terms[i]);
  left.add(right);
  EXPECT_EQ(forward.value(), backward.value());
  EXPECT_EQ(forward.value(), left.value());
  ExactSum cancelling;
  for (double x : {1e300, 1.0, -1e300, 0x1p-1070}) cancelling.add(x);
  EXPECT_EQ(cancelling.value(), 1.0);
  ExactSum negative;
  for (double x : {-3.5, 1.25}) negative.add(x);
  EXPECT_EQ(negative.value(), -2.25);
}

TEST(ExactSum, LimbsAddAcrossRanksAndNonFiniteTermsShow) {
  ExactSum a, b, joined;
  a.add(0.1);
  a.add(-7.0);
  b.add(0.2);
  std::array<int64_t, ExactSum::kNumLimbs> limbs{};
  for (auto* sum : {&a, &b}) {
    const auto part = sum->limbs();
    for (int i = 0; i < ExactSum::kNumLimbs; ++i) limbs[i] += part[i];
  }
  joined.set_limbs(limbs);
  EXPECT_DOUBLE_EQ(joined.value(), 0.1 - 7.0 + 0.2);
  a.add(std::numeric_limits<double>::infinity());
  EXPECT_TRUE(std::isnan(a.value()));
}

TEST(FileSystem, WritesAtomicallyAndReadsBack) {
  const std::string dir = fresh_directory("fs");
  auto& fs = posix_file_system();
  const std::string path = dir + "/a.txt";
  write_file_atomically(fs, path, "first");
  write_file_atomically(fs, path, "second");
  EXPECT_EQ(read_text_file(fs, path, 100), "second");
  EXPECT_EQ(fs.list(dir), std::vector<std::string>{"a.txt"});
  EXPECT_THROW(read_text_file(fs, path, 3), DataError);
  EXPECT_EQ(glob(dir + "/*.txt"), std::vector<std::string>{path});
  fs.remove_all(dir);
}

TEST(FileSystem, ErrorsNameThePathAndTheKind) {
  auto& fs = posix_file_system();
  EXPECT_THROW(fs.open("/nonexistent/file"), MissingInputError);
  EXPECT_THROW(fs.create("/proc/none/file"), CannotWriteError);
  EXPECT_THROW(fs.open("/tmp"), DataError);
  EXPECT_THROW(fs.file_size("/tmp"), DataError);
  EXPECT_THROW(fs.open("/tmp/" + std::string(300, 'n')), MissingInputError);
  try {
    fs.create("/dev/full")->append("x");
    FAIL() << "a full disk went unnoticed";
  } catch (const IoError& error) {
    EXPECT_NE(std::string(error.what()).find("/dev/full"), std::string::npos);
  }
}

TEST(FileSystem, ALinkToItselfIsNoInput) {
  const std::string dir = fresh_directory("loop"), path = dir + "/loop";
  std::filesystem::create_symlink(path, path);
  EXPECT_THROW(posix_file_system().open(path), MissingInputError);
  EXPECT_THROW(posix_file_system().file_size(path), MissingInputError);
  posix_file_system().remove_all(dir);
}

TEST(OutputFiles, OnlyRegularFilesAreReplaced) {
  const std::string dir = fresh_directory("replaced"), pipe = dir + "/pipe", link = dir + "/link";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::filesystem::create_symlink(pipe, link);
  auto& fs = posix_file_system();
  for (const auto& path : {pipe, link, dir})
    EXPECT_THROW(write_file_atomically(fs, path, "text"), CannotWriteError) << path;
  EXPECT_TRUE(std::filesystem::is_fifo(link));
  EXPECT_EQ(fs.list(dir), (std::vector<std::string>{"link", "pipe"}));
  fs.remove_all(dir);
}

TEST(OutputFiles, FindsTheFileThatTwoNamesShare) {
  const std::string dir = fresh_directory("shared"), file = dir + "/a", link = dir + "/link";
  write_file_atomically(posix_file_system(), file, "text");
  std::filesystem::create_symlink(file, link);
  EXPECT_EQ(find_overwritten({file, file, "-", ""}, {dir + "/b", dir + "/c", "-", "-", ""}), "");
  EXPECT_NE(find_overwritten({file}, {dir + "/b", dir + "/./a"}).find("the input"), std::string::npos);
  EXPECT_NE(find_overwritten({file}, {link}), "");
  EXPECT_NE(find_overwritten({}, {dir + "/b", dir + "/x/../b"}).find("the output " + dir), std::string::npos);
  posix_file_system().remove_all(dir);
}

TEST(OutputFiles, DiscardsWhatIsUnfinishedAndNothingElse) {
  const std::string dir = fresh_directory("unfinished");
  auto& fs = posix_file_system();
  const auto discard = [&] {
    const UnfinishedOutput unfinished = begin_output(dir + "/a"), folder(dir + "/folder");
    const UnfinishedOutput* const forgotten = new UnfinishedOutput(dir + "/b");
    delete forgotten;
    fs.create_directories(folder.path());
    for (const auto& path : {unfinished.path(), folder.path() + "/c", dir + "/b"}) fs.create(path);
    discard_unfinished_outputs();
    std::_Exit(0);
  };
  EXPECT_EXIT(discard(), testing::ExitedWithCode(0), "");
  EXPECT_EQ(fs.list(dir), std::vector<std::string>{"b"});
  fs.remove_all(dir);
}

TEST(Glob, MatchesStarsAndQuestionMarks) {
  EXPECT_TRUE(matches_glob("*norm*", "model.layers.0.input_layernorm.weight"));
  EXPECT_TRUE(matches_glob("a?c", "abc"));
  EXPECT_TRUE(matches_glob("*.bias", "x.bias.bias"));
  EXPECT_TRUE(matches_glob("**", ""));
  EXPECT_FALSE(matches_glob("a*b", "acd"));
  EXPECT_FALSE(matches_glob("?", ""));
}

TEST(Digest, StreamsEqualOneShotAndDifferOnOneBit) {
  Digest digest;
  digest.update(std::as_bytes(std::span("abc", 3)));
  digest.update(std::as_bytes(std::span("def", 3)));
  EXPECT_EQ(digest.hex(), digest_hex(std::string_view("abcdef")));
  EXPECT_NE(digest.hex(), digest_hex(std::string_view("abcdeg")));
  EXPECT_EQ(digest.hex().size(), 32u);
}

TEST(Log, WritesOneFilePerRank) {
  const std::string dir = fresh_directory("log");
  log::configure({.rank = 3, .console_level = log::Level::kError, .directory = dir});
  log::info("hello {}", 42);
  log::flush();
  const std::string text = read_text_file(posix_file_system(), dir + "/rank-00003.log", 10000);
  EXPECT_NE(text.find("[rank 3] hello 42"), std::string::npos);
  log::configure({});
  EXPECT_THROW(log::configure({.directory = "/proc/none"}), CannotWriteError);
}

}  // namespace
}  // namespace athanor::core
