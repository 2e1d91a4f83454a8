// Files that are not what they claim to be: every one must give a DataError with its name, never a crash, a
// hang, a large allocation or wrong tokens.
#include <functional>

#include <hdf5.h>

#include "core/error.h"
#include "data/shards/shard_verify.h"
#include "tests/data/shards/shard_fixture.h"

namespace athanor::data {
namespace {

class ShardGarbage : public ShardTest {
 protected:
  void SetUp() override {
    ShardTest::SetUp();
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    good_ = read_file(write("good.h5", random_documents(3, 60, 30, 1000), 1000));
  }

  /// True when the file was accepted; then it must also be correct.
  bool is_accepted(const std::string& content) {
    write_file(path("bad.h5"), content);
    try {
      FilePool pool(core::posix_file_system());
      const std::vector<std::string> paths = {path("bad.h5")};
      verify_shard(ShardReader::open_all(pool, paths).front());
      return true;
    } catch (const core::DataError& error) {
      EXPECT_NE(std::string(error.what()).find("bad.h5"), std::string::npos) << error.what();
      return false;
    }
  }

  std::string refusal(const std::string& file) {
    return message_of<core::DataError>([&] { verify_shard(open(file)); });
  }

  std::string good_;
};

TEST_F(ShardGarbage, TruncatedAnywhere) {
  ASSERT_TRUE(is_accepted(good_));
  for (size_t length = 0; length < good_.size(); length += 1 + good_.size() / 80)
    EXPECT_FALSE(is_accepted(good_.substr(0, length))) << length << " of " << good_.size() << " bytes";
}

TEST_F(ShardGarbage, BytesBehindTheEnd) {
  for (const std::string& tail : {std::string("x"), std::string(5000, '\0'), good_}) {
    write_file(path("bad.h5"), good_ + tail);
    EXPECT_NE(refusal(path("bad.h5"))
                  .find(fmt::format("{} bytes follow the end of the HDF5 data at byte {}", tail.size(),
                                    good_.size())),
              std::string::npos);
  }
}

TEST_F(ShardGarbage, OneByteChangedAnywhere) {
  // A changed byte that verify accepts must be one that no reader looks at.
  for (size_t at = 0; at < good_.size(); at += 1 + good_.size() / 250) {
    std::string bad = good_;
    bad[at] = static_cast<char>(bad[at] ^ 0x41);
    if (!is_accepted(bad)) continue;
    const ShardReader shard = open(path("bad.h5"));
    const ShardReader original = open(path("good.h5"));
    ASSERT_EQ(shard.num_tokens(), original.num_tokens()) << at;
    TokenList tokens(shard.num_tokens()), expected(shard.num_tokens());
    shard.read_tokens(0, tokens);
    original.read_tokens(0, expected);
    ASSERT_EQ(tokens, expected) << at;
  }
}

TEST_F(ShardGarbage, RandomBytesWithAndWithoutTheSignature) {
  const core::CounterRng rng(5, "test/garbage");
  for (uint64_t round = 0; round < 40; ++round) {
    std::string bad = round % 2 == 0 ? "" : good_.substr(0, 8 + round);
    for (uint64_t i = 0; i < 2000; ++i) bad += static_cast<char>(rng.bits(round * 2000 + i));
    EXPECT_FALSE(is_accepted(bad));
  }
}

TEST_F(ShardGarbage, ManyBytesChangedInTheMetadata) {
  // Bursts near the start, where the superblock and the first object headers are.
  const core::CounterRng rng(6, "test/garbage");
  for (uint64_t round = 0; round < 80; ++round) {
    std::string bad = good_;
    for (uint64_t i = 0; i < 4; ++i)
      bad[rng.below(round * 8 + i, std::min<size_t>(bad.size(), 3000))] =
          static_cast<char>(rng.bits(round * 8 + 4 + i));
    is_accepted(bad);
  }
}

TEST_F(ShardGarbage, AFileThatCrashesTheLibraryIsAnError) {
  // Found by changing bytes at random: HDF5 1.10.8 dies of it. Other versions may say what is wrong instead.
  const std::string file = ATHANOR_SOURCE_DIR "/tests/data/shards/crashes_hdf5_1_10.h5";
  EXPECT_NE(refusal(file).find("crashes_hdf5_1_10.h5"), std::string::npos);
}

TEST_F(ShardGarbage, NotHdf5AndMissing) {
  EXPECT_NE(message_of<core::MissingInputError>([&] { open(path("nowhere.h5")); }).find("nowhere.h5"),
            std::string::npos);
  write_file(path("text.h5"), "this is a text");
  EXPECT_NE(refusal(path("text.h5")).find("not an HDF5 file"), std::string::npos);
  write_file(path("empty.h5"), "");
  EXPECT_NE(refusal(path("empty.h5")).find("not an HDF5 file (0 bytes)"), std::string::npos);
  EXPECT_NE(refusal(directory_.string()).find("directory"), std::string::npos);
}

// ---- files that the HDF5 library itself finds in order
// -------------------------------------------------------------

/// What a hand-made shard holds; a case changes one thing.
struct HandMade {
  hid_t token_type = H5T_STD_U16LE;
  std::vector<hsize_t> token_shape = {6};
  std::vector<hsize_t> token_chunk = {};  ///< empty: contiguous
  int deflate = 0;
  bool is_external = false;
  std::vector<uint16_t> tokens = {1, 2, 3, 4, 5, 6};
  std::vector<uint64_t> offsets = {0, 2, 6};
  uint64_t version = 1, vocabulary = 10;
  std::string content_digest = "0";
  bool has_attributes = true, is_text_attribute_variable = false;
  std::function<void(hid_t)> extra = {};
};

class HandMadeShard : public ShardGarbage {
 protected:
  static void add_number(hid_t file, const char* name, uint64_t value) {
    const hid_t space = H5Screate(H5S_SCALAR);
    const hid_t attribute = H5Acreate2(file, name, H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT);
    H5Awrite(attribute, H5T_NATIVE_UINT64, &value);
    H5Aclose(attribute);
    H5Sclose(space);
  }

  static void add_text(hid_t file, const char* name, const std::string& text, bool is_variable) {
    const hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, is_variable ? H5T_VARIABLE : text.size());
    const hid_t attribute = H5Acreate2(file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    const char* pointer = text.c_str();
    if (is_variable)
      H5Awrite(attribute, type, &pointer);
    else
      H5Awrite(attribute, type, pointer);
    H5Aclose(attribute);
    H5Tclose(type);
    H5Sclose(space);
  }

  static void add_tokens(hid_t file, const HandMade& made) {
    const hid_t space =
        H5Screate_simple(static_cast<int>(made.token_shape.size()), made.token_shape.data(), nullptr);
    const hid_t creation = H5Pcreate(H5P_DATASET_CREATE);
    if (!made.token_chunk.empty())
      H5Pset_chunk(creation, static_cast<int>(made.token_chunk.size()), made.token_chunk.data());
    if (made.deflate > 0) H5Pset_deflate(creation, static_cast<unsigned>(made.deflate));
    if (made.is_external) H5Pset_external(creation, "/etc/hostname", 0, 12);
    const hid_t dataset =
        H5Dcreate2(file, "tokens", made.token_type, space, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (!made.tokens.empty() && !made.is_external)
      H5Dwrite(dataset, H5T_NATIVE_UINT16, H5S_ALL, H5S_ALL, H5P_DEFAULT, made.tokens.data());
    H5Dclose(dataset);
    H5Pclose(creation);
    H5Sclose(space);
  }

  static void add_offsets(hid_t file, const std::vector<uint64_t>& offsets) {
    const hsize_t size = offsets.size();
    const hid_t space = H5Screate_simple(1, &size, nullptr);
    const hid_t dataset =
        H5Dcreate2(file, "document_offsets", H5T_STD_U64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    H5Dwrite(dataset, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, offsets.data());
    H5Dclose(dataset);
    H5Sclose(space);
  }

  std::string make(const HandMade& made) {
    const hid_t file = H5Fcreate(path("made.h5").c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
    if (!made.token_shape.empty()) add_tokens(file, made);
    add_offsets(file, made.offsets);
    if (made.has_attributes) {
      add_number(file, "format_version", made.version);
      add_number(file, "vocabulary_size", made.vocabulary);
      add_text(file, "tokenizer_digest", "abc", made.is_text_attribute_variable);
      add_text(file, "content_digest", made.content_digest, false);
    }
    if (made.extra) made.extra(file);
    H5Fclose(file);
    return path("made.h5");
  }
};

TEST_F(HandMadeShard, ContiguousFilesOfOtherProgramsAreRead) {
  const std::string message = refusal(make({}));
  ASSERT_NE(message.find("the content has digest "), std::string::npos) << message;
  const std::string digest = message.substr(message.find("digest ") + 7, 32);
  verify_shard(open(make({.content_digest = digest})));
  verify_shard(open(make({.token_chunk = {4}, .content_digest = digest})));
}

TEST_F(HandMadeShard, RefusesWhatIsNotInTheFormat) {
  struct Case {
    const char* expected;
    HandMade made;
  };
  const std::vector<Case> cases = {
      {"no dataset /tokens", {.token_shape = {}}},
      {"unsigned integers", {.token_type = H5T_STD_I16LE}},
      {"little-endian", {.token_type = H5T_STD_U16BE}},
      {"8 bytes per token", {.token_type = H5T_STD_U64LE}},
      {"unexpected type", {.token_type = H5T_IEEE_F32LE}},
      {"one dimension", {.token_shape = {2, 3}}},
      {"one dimension", {.token_shape = {2, 3}, .token_chunk = {2, 3}}},
      {"compressed", {.token_chunk = {6}, .deflate = 6}},
      {"external", {.is_external = true}},
      {"claimed", {.token_shape = {hsize_t{1} << 50}, .token_chunk = {hsize_t{1} << 20}, .tokens = {}}},
      {"stored", {.token_shape = {100}, .token_chunk = {10}, .tokens = {}}},
      {"empty shard", {.token_shape = {0}, .token_chunk = {4}, .tokens = {}, .offsets = {0, 0}}},
      {"empty shard", {.offsets = {0}}},
      {"document_offsets", {.offsets = {0, 5, 3, 6}}},
      {"document_offsets", {.offsets = {0, 2, 7}}},
      {"document_offsets", {.offsets = {1, 2, 6}}},
      {"expected 0 to 6", {.offsets = {0, 2, 5}}},
      {"document_offsets", {.offsets = {0, ~uint64_t{0}, 6}}},
      {"version 2", {.version = 2}},
      {"vocabulary_size is 0", {.vocabulary = 0}},
      {"token id 6", {.vocabulary = 6}},
      {"no attribute", {.has_attributes = false}},
      {"fixed length", {.is_text_attribute_variable = true}},
  };
  for (const Case& test : cases) {
    const std::string message = refusal(make(test.made));
    EXPECT_NE(message.find(test.expected), std::string::npos)
        << "expected: " << test.expected << "\nfound: " << message;
    EXPECT_NE(message.find("made.h5"), std::string::npos) << message;
  }
}

TEST_F(HandMadeShard, RefusesLinks) {
  const std::vector<std::pair<const char*, std::function<void(hid_t)>>> links = {
      {"external",
       [](hid_t file) {
         H5Lcreate_external("good.h5", "/tokens", file, "source", H5P_DEFAULT, H5P_DEFAULT);
       }},
      {"soft", [](hid_t file) { H5Lcreate_soft("/tokens", file, "source", H5P_DEFAULT, H5P_DEFAULT); }},
  };
  for (const auto& [kind, extra] : links)
    EXPECT_NE(refusal(make({.extra = extra})).find("links are not accepted"), std::string::npos) << kind;
}

TEST_F(HandMadeShard, RefusesAGroupInPlaceOfADataset) {
  const auto extra = [](hid_t file) {
    H5Gclose(H5Gcreate2(file, "score", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
  };
  EXPECT_NE(refusal(make({.extra = extra})).find("not a readable dataset"), std::string::npos);
}

TEST_F(HandMadeShard, RefusesVirtualDatasets) {
  const auto extra = [this](hid_t file) {
    const hsize_t size = 2;
    const hid_t space = H5Screate_simple(1, &size, nullptr), creation = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_virtual(creation, space, path("good.h5").c_str(), "/tokens", space);
    H5Dclose(H5Dcreate2(file, "score", H5T_IEEE_F32LE, space, H5P_DEFAULT, creation, H5P_DEFAULT));
    H5Pclose(creation);
    H5Sclose(space);
  };
  EXPECT_NE(refusal(make({.extra = extra})).find("virtual"), std::string::npos);
}

TEST_F(HandMadeShard, RefusesColumnsOfAnotherLength) {
  const auto extra = [](hid_t file) {
    const hsize_t size = 5;
    const hid_t space = H5Screate_simple(1, &size, nullptr);
    const hid_t dataset =
        H5Dcreate2(file, "score", H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
    const std::vector<float> values(5, 1.0f);
    H5Dwrite(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data());
    H5Dclose(dataset);
    H5Sclose(space);
  };
  EXPECT_NE(refusal(make({.extra = extra})).find("/score has 5 elements"), std::string::npos);
}

}  // namespace
}  // namespace athanor::data
