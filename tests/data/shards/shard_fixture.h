// Small shards for tests: random documents, written to a directory that goes away with the test.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "data/shards/shard_reader.h"
#include "data/shards/shard_writer.h"

namespace athanor::data {

using TokenList = std::vector<uint32_t>;

class ShardTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    directory_ =
        std::filesystem::temp_directory_path() / ("athanor-" + std::string(info->test_suite_name()) + "-" +
                                                  info->name() + "-" + std::to_string(getpid()));
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  /// Documents of 0 to max_length tokens below `vocabulary`; token values spread over the whole range.
  static std::vector<TokenList> random_documents(uint64_t seed, size_t count, uint64_t max_length,
                                                 uint64_t vocabulary) {
    const core::CounterRng rng(seed, "test/documents");
    std::vector<TokenList> documents(count);
    uint64_t draw = 0;
    for (TokenList& document : documents) {
      document.resize(rng.below(draw++, max_length + 1));
      for (uint32_t& token : document) token = static_cast<uint32_t>(rng.below(draw++, vocabulary));
    }
    return documents;
  }

  std::string write(const std::string& name, const std::vector<TokenList>& documents, uint64_t vocabulary,
                    const std::string& tokenizer = "tokenizer-a") {
    ShardWriter writer(core::posix_file_system(), path(name),
                       {.tokenizer_digest = tokenizer, .vocabulary_size = vocabulary});
    for (const TokenList& document : documents) writer.add_document(document);
    writer.finish();
    writer.publish();
    return path(name);
  }

  ShardReader open(const std::string& file) {
    const std::vector<std::string> paths = {file};
    return std::move(ShardReader::open_all(pool_, paths).front());
  }

  static std::string read_file(const std::string& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static void write_file(const std::string& file, const std::string& content) {
    std::ofstream(file, std::ios::binary) << content;
  }

  std::filesystem::path directory_;
  FilePool pool_{core::posix_file_system()};
};

/// Runs `call` and gives the message of the error of type E that it must throw.
template <typename E, typename Call>
std::string message_of(Call call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another error: " << error.what();
    return {};
  }
  ADD_FAILURE() << "no error";
  return {};
}

}  // namespace athanor::data
