// Documentation made from the declarations.
#include "configs/reference.h"

#include <gtest/gtest.h>

#include "configs/templates.h"
#include "core/error.h"
#include "core/file_system.h"
#include "core/json.h"
#include "tests/configs/config_text.h"

namespace athanor::configs {
namespace {

TEST(Reference, EveryOptionHasAMeaning) {
  const std::vector<OptionFacts> all = all_options();
  EXPECT_GT(all.size(), 80u);
  for (const OptionFacts& facts : all) {
    EXPECT_GT(facts.option.meaning.size(), 5u) << facts.path;
    EXPECT_EQ(facts.option.meaning.find('\n'), std::string::npos) << facts.path;
    const bool is_limited = facts.type != "integer" || std::isfinite(facts.option.minimum);
    EXPECT_TRUE(is_limited) << facts.path << " takes any integer";
  }
}

TEST(Reference, ThePageInDocsIsUpToDate) {
  const std::string page =
      core::read_text_file(core::posix_file_system(), ATHANOR_SOURCE_DIR "/docs/configuration.md", 1 << 20);
  EXPECT_EQ(page, reference_markdown()) << "run: athanor explain --markdown > docs/configuration.md";
}

TEST(Explain, FindsByPathSectionAndLastName) {
  EXPECT_EQ(find_options("training.max_steps").size(), 1u);
  EXPECT_EQ(find_options("data.train[3].path").at(0).path, "data.train[].path");
  EXPECT_EQ(find_options("data.train.path").at(0).path, "data.train[].path");
  EXPECT_EQ(find_options("every").size(), 2u);
  EXPECT_EQ(find_options("schedule").size(), 6u);
  EXPECT_THROW(find_options("training.max_stepz"), core::UsageError);
  EXPECT_THROW(find_options(""), core::UsageError);
  try {
    find_options("lerning_rate");
    FAIL() << "expected an error";
  } catch (const core::UsageError& error) {
    EXPECT_NE(std::string(error.what()).find("`optimizer.learning_rate`"), std::string::npos) << error.what();
  }
}

TEST(Explain, SaysAllThatIsKnown) {
  EXPECT_EQ(explain_text(find_options("model.n_routed_experts").at(0)),
            "model.n_routed_experts\n"
            "  experts of one layer, of which the router picks (0: a dense network)\n"
            "  type       integer\n"
            "  unit       experts\n"
            "  default    16 (llama: 0, qwen2: 0)\n"
            "  range      at least 0 and at most 65536 experts\n");
  const auto json = nlohmann::json::parse(explain_json(find_options("task")));
  EXPECT_EQ(json.at(0).at("choices"), nlohmann::json({"pretrain"}));
  EXPECT_EQ(json.at(0).at("not_in_this_version").size(), 7u);
}

TEST(JsonSchema, DescribesEveryOption) {
  const auto schema = nlohmann::json::parse(json_schema());
  EXPECT_EQ(schema.at("$schema"), "https://json-schema.org/draft/2020-12/schema");
  EXPECT_EQ(schema.at("additionalProperties"), false);
  const auto& sections = schema.at("properties");
  EXPECT_EQ(sections.at("optimizer").at("properties").at("learning_rate").at("exclusiveMinimum"), 0);
  EXPECT_EQ(sections.at("parallel").at("properties").at("data").at("anyOf").at(1).at("const"), "auto");
  EXPECT_TRUE(
      sections.at("model").at("properties").at("q_lora_rank").at("anyOf").at(1).at("const").is_null());
  EXPECT_EQ(sections.at("data").at("properties").at("train").at("items").at("required"),
            nlohmann::json({"path"}));
  EXPECT_EQ(sections.at("task").at("enum"), nlohmann::json({"pretrain"}));
}

TEST(Templates, PassEveryCheckAndAreCommented) {
  for (const ConfigTemplate& entry : config_templates()) {
    const std::string text = render_template(std::string(entry.name));
    EXPECT_EQ(to_string(check_yaml(text)), "") << entry.name;
    EXPECT_EQ(to_string(check_yaml(text, {}, {.world_size = entry.min_ranks})), "") << entry.name;
    EXPECT_NE(text.find("# sequences per optimizer step, all ranks together"), std::string::npos);
  }
  EXPECT_THROW(render_template("quickstrat"), core::UsageError);
}

TEST(Templates, TheLargeOneRunsOn8To64Ranks) {
  const std::string text = render_template("pretrain-moe-16b");
  for (const int64_t ranks : {8, 16, 32, 64})
    EXPECT_EQ(to_string(check_yaml(text, {}, {.world_size = ranks})), "") << ranks;
  EXPECT_NE(to_string(check_yaml(text, {}, {.world_size = 4})).find("parallel.expert: 8 does not divide"),
            std::string::npos);
}

}  // namespace
}  // namespace athanor::configs
