// What can happen to the files of a checkpoint, one case at a time: each is found, named, and passed over.
#include <fstream>
#include <sys/stat.h>

#include "core/digest.h"
#include "tests/checkpoints/sample_model.h"
#include "tests/support/faulty_file_system.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;
namespace stdfs = std::filesystem;

std::string slurp(const std::string& path) {
  return core::read_text_file(disk(), path, 1 << 24);
}
void spill(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

void flip_bit(const std::string& path, size_t at, int bit) {
  std::string text = slurp(path);
  text[at] = static_cast<char>(text[at] ^ (1 << bit));
  spill(path, text);
}

// Two good checkpoints, 100 and 120, by two ranks each; the tests break the newer one.
class Damage : public ::testing::Test {
 protected:
  void SetUp() override {
    save_model(disk(), directory.path(), old_model, 100, {.layout = {2, 1}, .max_file_bytes = 1 << 20});
    save_model(disk(), directory.path(), new_model, 120, {.layout = {2, 1}, .max_file_bytes = 1 << 20});
  }

  std::string file(int step, int rank) const {
    return fmt::format("{}/step-{:08d}/rank-{:05d}-00000.safetensors", directory.path(), step, rank);
  }
  std::string manifest(int step) const {
    return fmt::format("{}/step-{:08d}/manifest.json", directory.path(), step);
  }

  // The newest is refused for a reason that contains `complaint`, and the one before it is found.
  void expect_refused(const std::string& complaint) {
    const auto found = find_newest_good(disk(), directory.path());
    ASSERT_TRUE(found.has_value());
    EXPECT_EQ(found->step, 100u) << complaint;
    ASSERT_EQ(found->passed_over.size(), 1u);
    EXPECT_NE(found->passed_over[0].find(complaint), std::string::npos) << found->passed_over[0];
    EXPECT_EQ(found->passed_over[0].find('\n'), std::string::npos) << "one line";
    EXPECT_NE(found->passed_over[0].find("step-00000120"), std::string::npos) << found->passed_over[0];
    EXPECT_TRUE(holds(CheckpointReader(disk(), found->path), old_model));
  }

  const TestDirectory directory;
  const std::vector<WholeTensor> old_model = sample_model(1), new_model = sample_model(2);
};

TEST_F(Damage, NothingIsWrongAtFirst) {
  const auto found = find_newest_good(disk(), directory.path());
  EXPECT_EQ(found->step, 120u);
  EXPECT_TRUE(found->passed_over.empty());
  EXPECT_TRUE(holds(CheckpointReader(disk(), found->path), new_model));
}

TEST_F(Damage, EmptyFile) {
  spill(file(120, 0), "");
  expect_refused("0 bytes, expected");
}

TEST_F(Damage, FileCutAtEveryBlock) {
  const std::string whole = slurp(file(120, 1));
  for (size_t size = 0; size < whole.size(); size += 4096) {
    spill(file(120, 1), whole.substr(0, size));
    expect_refused("cut short");
  }
  spill(file(120, 1), whole + "x");
  expect_refused("has grown");
}

TEST_F(Damage, OneBitAnywhere) {
  const size_t size = slurp(file(120, 0)).size();
  for (size_t trial = 0; trial < 60; ++trial) {
    const size_t at = trial < 20 ? trial : trial * 7919 % size;
    flip_bit(file(120, 0), at, static_cast<int>(trial % 8));
    expect_refused("damaged: its digest is");
    flip_bit(file(120, 0), at, static_cast<int>(trial % 8));
  }
}

TEST_F(Damage, SwappedFiles) {
  stdfs::rename(file(120, 0), file(120, 0) + ".x");
  stdfs::rename(file(120, 1), file(120, 0));
  stdfs::rename(file(120, 0) + ".x", file(120, 1));
  expect_refused("bytes, expected");
}

TEST_F(Damage, FileOfAnotherStep) {
  stdfs::copy_file(file(100, 0), file(120, 0), stdfs::copy_options::overwrite_existing);
  expect_refused("a file of another step: expected 120, found \"100\"");
}

TEST_F(Damage, FileOfAnotherRun) {
  save_model(disk(), directory / "other", new_model, 120,
             {.layout = {2, 1}, .run_id = "run-b", .max_file_bytes = 1 << 20});
  stdfs::copy_file(directory / "other/step-00000120/rank-00000-00000.safetensors", file(120, 0),
                   stdfs::copy_options::overwrite_existing);
  expect_refused("a file of another run: expected \"run-a\", found \"run-b\"");
}

TEST_F(Damage, MissingFile) {
  stdfs::remove(file(120, 1));
  expect_refused("the file is missing");
}

TEST_F(Damage, OneFileTooMany) {
  stdfs::copy_file(file(100, 0), directory / "step-00000120/rank-00002-00000.safetensors");
  expect_refused("the manifest does not know this file");
}

TEST_F(Damage, NotesBesideTheFilesDoNoHarm) {
  spill(directory / "step-00000120/notes.txt", "the good one");
  EXPECT_EQ(find_newest_good(disk(), directory.path())->step, 120u);
}

TEST_F(Damage, ManifestMissingOrCut) {
  const std::string text = slurp(manifest(120));
  stdfs::remove(manifest(120));
  expect_refused("the file is missing");
  for (const size_t size : {size_t{0}, size_t{1}, size_t{40}, text.size() / 2, text.size() - 1}) {
    spill(manifest(120), text.substr(0, size));
    expect_refused("manifest.json");
  }
}

TEST_F(Damage, NewerFormatSaysSo) {
  std::string text = slurp(manifest(120));
  text.replace(text.find("\"format_version\":1"), 18, "\"format_version\":9");
  spill(manifest(120), text);
  expect_refused("written by a newer athanor: format version 9");
}

TEST_F(Damage, LinksAreRefused) {
  stdfs::rename(file(120, 0), directory / "moved");
  stdfs::create_symlink(directory / "moved", file(120, 0));
  expect_refused("a symbolic link");
  stdfs::remove(file(120, 0));
  stdfs::create_symlink(file(120, 0), file(120, 0));
  expect_refused("a symbolic link");
  stdfs::remove(file(120, 0));
  stdfs::create_directory(file(120, 0));
  expect_refused("this is a directory");
}

TEST_F(Damage, RenamedDirectory) {
  stdfs::rename(directory / "step-00000120", directory / "step-00000130");
  const auto found = find_newest_good(disk(), directory.path());
  EXPECT_EQ(found->step, 100u);
  EXPECT_NE(found->passed_over[0].find("named for step 130, its manifest is of step 120"), std::string::npos);
}

TEST_F(Damage, PointersAndLeftoversArePassedOver) {
  spill(directory / "latest", "step-000");
  stdfs::create_directory(directory / "step-00000140.tmp-abc");
  stdfs::create_directory(directory / "step-x");
  stdfs::create_directory(directory / "step-99999999999999999999");
  spill(directory / "step-00000150", "a file");
  const auto found = find_newest_good(disk(), directory.path());
  EXPECT_EQ(found->step, 120u);
  EXPECT_TRUE(found->passed_over.empty());
}

TEST_F(Damage, AllBadIsAnErrorNoneIsNot) {
  stdfs::remove(manifest(100));
  stdfs::remove(manifest(120));
  const std::string message = message_of<DataError>([&] { find_newest_good(disk(), directory.path()); });
  EXPECT_NE(message.find("none of the 2 checkpoints"), std::string::npos) << message;
  EXPECT_FALSE(find_newest_good(disk(), directory / "empty").has_value());
}

TEST_F(Damage, AFailingReadIsNotTakenForDamage) {
  tests::FaultyFileSystem faulty(disk());
  faulty.fail_reads(true);
  EXPECT_THROW(find_newest_good(faulty, directory.path()), core::IoError);
}

TEST_F(Damage, EveryProblemIsReported) {
  const CheckpointReader reader(disk(), directory / "step-00000120", Verify::kSizes);
  EXPECT_TRUE(reader.find_problems().empty());
  flip_bit(file(120, 0), 5000, 3);
  flip_bit(file(120, 1), 2500, 3);
  EXPECT_EQ(reader.find_problems().size(), 2u);
  EXPECT_THROW(CheckpointReader(disk(), directory / "step-00000120"), DataError);
  EXPECT_THROW(CheckpointReader(disk(), directory / "step-00000121"), core::MissingInputError);
}

TEST_F(Damage, AForgedManifestCannotPromiseWhatFilesDoNotHold) {
  std::string text = slurp(manifest(120));
  const std::string from = "model.norm.weight+0\"", to = "model.norm.weight+9\"";
  text.replace(text.find(from), from.size(), to);
  text.resize(text.rfind(",\n\"digest\""));
  spill(manifest(120), text + ",\n\"digest\":\"" + core::digest_hex(std::string_view(text)) + "\"}\n");
  expect_refused("holds no tensor \"model.norm.weight+9\"");
}

}  // namespace
}  // namespace athanor::checkpoints
