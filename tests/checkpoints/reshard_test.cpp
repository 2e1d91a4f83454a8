// Saved by any number of ranks in any division, read by any other: the same bits.
#include "tests/checkpoints/sample_model.h"

namespace athanor::checkpoints {
namespace {

const std::vector<Layout> kLayouts{{1, 1}, {2, 1}, {3, 1}, {4, 1}, {8, 1},
                                   {1, 2}, {2, 2}, {1, 3}, {2, 4}, {1, 8}};

TEST(Reshard, EveryLayoutReadsWhatEveryOtherWrote) {
  const TestDirectory directory;
  const auto model = sample_model(5);
  for (size_t from = 0; from < kLayouts.size(); ++from) {
    save_model(disk(), directory.path(), model, from, {.layout = kLayouts[from], .num_to_keep = 1});
    const CheckpointReader reader(disk(), directory / checkpoint_name(from));
    EXPECT_EQ(reader.manifest().num_ranks, static_cast<uint64_t>(kLayouts[from].num_ranks()));
    EXPECT_TRUE(holds(reader, model));
    for (const Layout& to : kLayouts)
      for (int rank = 0; rank < to.num_ranks(); ++rank)
        for (const WholeTensor& whole : model) {
          const Piece piece = piece_of_rank(whole, to, rank);
          const auto expected = bytes_of_piece(whole, piece);
          std::vector<std::byte> found(expected.size());
          reader.read_piece(reader.at(whole.name, whole.kind), piece, whole.dtype, found);
          ASSERT_EQ(found, expected) << whole.name << " from layout " << from << " to " << to.data << "x"
                                     << to.tensor;
        }
  }
}

TEST(Reshard, ReadsRangesLargerThanTheWindowAndConverts) {
  const TestDirectory directory;
  std::vector<WholeTensor> model{{"big", "exp_avg", Dtype::kF32, {1200, 1100}, {}}};
  model[0].bytes = random_bytes(1200 * 1100 * 4, 9, "big");
  save_model(disk(), directory.path(), model, 1, {.layout = {2, 3}, .max_file_bytes = 1 << 20});
  const CheckpointReader reader(disk(), directory / checkpoint_name(1));
  EXPECT_TRUE(holds(reader, model));
  const Piece columns{{{0, 100}, {1200, 900}}, 12345, 1000000};
  std::vector<std::byte> bf16(columns.size() * 2), expected(columns.size() * 2);
  reader.read_piece(reader.tensors()[0], columns, Dtype::kBF16, bf16);
  convert(bytes_of_piece(model[0], columns), Dtype::kF32, expected, Dtype::kBF16);
  EXPECT_EQ(bf16, expected);
  std::vector<std::byte> f16(2);
  EXPECT_NE(message_of<core::DataError>([&] {
              reader.read_range(reader.tensors()[0], 0, 1, Dtype::kF16, f16);
            }).find("cannot be read as F16"),
            std::string::npos);
  EXPECT_NE(
      message_of<core::DataError>([&] { (void)reader.at("big", "exp_avg_sq"); }).find("holds no exp_avg_sq"),
      std::string::npos);
}

TEST(Reshard, FilesAreOrdinarySafetensorsOfLimitedSize) {
  const TestDirectory directory;
  const auto model = sample_model(5);
  save_model(disk(), directory.path(), model, 7, {.layout = {1, 1}, .max_file_bytes = 2048});
  const Manifest manifest = read_manifest(disk(), directory / "step-00000007");
  EXPECT_GT(manifest.files.size(), 2u);
  EXPECT_EQ(manifest.progress, (Progress{7, 112, 57344}));
  EXPECT_EQ(manifest.config, "run: {name: sample}\n# 自\n");
  EXPECT_EQ(manifest.training_state, R"({"rate":0.1,"seed":18446744073709551615,"step":7})");
  std::set<std::string> keys;
  for (const SavedFile& saved : manifest.files) {
    const SafetensorsFile file(disk(), directory / ("step-00000007/" + saved.name));
    EXPECT_EQ(file.metadata().at("step"), "7");
    for (const auto& entry : file.tensors()) keys.insert(entry.info.name);
  }
  EXPECT_TRUE(keys.contains("model.embed_tokens.weight")) << "a whole weight keeps its own name";
  EXPECT_TRUE(keys.contains("model.embed_tokens.weight:exp_avg"));
}

}  // namespace
}  // namespace athanor::checkpoints
