// What score, generate and export share: opening MODEL in a precision, and lines of JSON in and out.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "data/tokenizer/tokenizer.h"
#include "inference/loaded_model.h"
#include "inference/model_files.h"
#include "launch/command_line.h"

namespace athanor::launch {

struct ModelArguments {
  std::string model;
  std::string dtype = "auto";
  std::string device = "cpu";
  std::string tokenizer;  ///< empty: the model's own
  int threads = 0;

  void add_to(Command command);
};

/// A model in memory with its tokenizer, if it has one.
struct OpenModel {
  std::unique_ptr<inference::LoadedModel> model;
  std::shared_ptr<const data::tokenizer::Tokenizer> tokenizer;  ///< null: ids only
  std::vector<int64_t> eos_token_ids;

  /// UsageError when there is no tokenizer.
  const data::tokenizer::Tokenizer& require_tokenizer() const;
};

OpenModel open(const ModelArguments& arguments);

/// The token ids of `{"ids": [...]}`, or of the text under `text_key`, with the tokenizer's special tokens.
/// DataError at `where` for anything else: also ids outside the vocabulary, and more than the model's
/// context.
std::vector<int64_t> ids_of(const nlohmann::json& object, const char* text_key, const OpenModel& model,
                            const std::string& where);

/// Calls visit(object, where) for every line of a JSON-lines file, which must hold objects. `where` is
/// FILE:LINE.
void for_each_object(const std::string& path,
                     const std::function<void(const nlohmann::json&, const std::string&)>& visit);

}  // namespace athanor::launch
