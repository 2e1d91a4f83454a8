#include "data/tokenizer/tokenizer.h"

#include <algorithm>
#include <set>

#include "core/digest.h"
#include "core/error.h"
#include "core/log.h"
#include "core/parallel_for.h"
#include "data/tokenizer/tokenizer_parts.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::DataError;

JsonCursor document_of(const TokenizerFile& file) {
  return {file.document, file.name};
}

template <typename Component, typename... Args>
Component read_component(const TokenizerFile& file, const char* key, Args... args) {
  const auto json = document_of(file).optional_member(key);
  return json ? Component(*json, args...) : Component();
}

void check_version(const TokenizerFile& file) {
  const auto version = document_of(file).optional_member("version");
  if (version && version->as_string() != "1.0") version->fail("\"1.0\"");
}

// Every id without a token costs a row of each table here, and of the model's embedding. More of them than
// this stand for a damaged file, not for a vocabulary.
constexpr uint64_t kMaxMissingIds = uint64_t{1} << 20;

// Every id from the vocabulary and the added tokens, ascending. Nothing is sized by an id before this has
// passed. Gives the largest id + 1. An added token that is not in model.vocab has the id that its entry
// says; Hugging Face numbers such tokens anew, which is the same id unless it then meets another token's.
size_t check_ids(const TokenizerFile& file, const std::vector<AddedToken>& added_tokens,
                 const BpeModel& model) {
  std::vector<std::pair<uint32_t, std::string_view>> ids;
  for (const auto& [token, id] : file.vocab) ids.emplace_back(id, token);
  for (const auto& token : added_tokens) {
    const uint32_t model_id = model.token_to_id(token.content);
    if (model_id == kNoToken)
      ids.emplace_back(token.id, token.content);
    else if (model_id != token.id)
      throw DataError("{}: added_tokens: \"{}\" has the id {}, but model.vocab gives it the id {}", file.name,
                      excerpt(token.content), token.id, model_id);
  }
  std::sort(ids.begin(), ids.end());
  std::optional<uint64_t> missing_id;
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint64_t next_id = i == 0 ? 0 : uint64_t{ids[i - 1].first} + 1;
    if (ids[i].first < next_id)
      throw DataError("{}: the id {} belongs to both \"{}\" and \"{}\"", file.name, ids[i].first,
                      excerpt(ids[i - 1].second), excerpt(ids[i].second));
    if (ids[i].first > next_id && !missing_id) missing_id = next_id;
    if (ids[i].first - i > kMaxMissingIds)
      throw DataError(
          "{}: no token has the id {}, and {} more up to that of \"{}\", {}, have none: at most {} may be "
          "missing",
          file.name, *missing_id, ids[i].first - i - 1, excerpt(ids[i].second), ids[i].first, kMaxMissingIds);
  }
  return ids.empty() ? 0 : size_t{ids.back().first} + 1;
}

}  // namespace

Tokenizer::Parts::Parts(TokenizerFile parsed)
    : file((check_version(parsed), std::move(parsed))),
      normalizer(read_component<Normalizer>(file, "normalizer")),
      pre_tokenizer(read_component<PreTokenizer>(file, "pre_tokenizer")),
      model(file, pre_tokenizer.gives_bytes()),
      decoder(read_component<Decoder>(file, "decoder")),
      added_tokens(read_added_tokens(document_of(file))) {
  tokens.resize(check_ids(file, added_tokens, model));
  collect_tokens();
  post_processor = read_component<PostProcessor>(file, "post_processor", uint64_t{tokens.size()});
  build_matchers();
  warn_about_ignored_settings();
  digest = compute_digest();
}

void Tokenizer::Parts::collect_tokens() {
  for (const auto& [text, id] : file.vocab) tokens[id] = {.exists = true, .text = text, .decoder_text = text};
  std::set<std::string> special_texts;
  for (const auto& added : added_tokens) {
    Token& token = tokens[added.id];
    token = {.exists = true,
             .text = added.content,
             .decoder_text = added.normalized ? normalizer.normalize(added.content) : added.content,
             .is_special = added.special};
    if (added.special) special_texts.insert(added.content);
  }
  // Hugging Face looks for the text that is decoded: a special token that the normalizer changes is not
  // skipped.
  for (auto& token : tokens) token.is_skipped = special_texts.count(token.decoder_text) > 0;
  if (decoder.is_byte_level())
    for (auto& token : tokens) token.decoder_text = Decoder::token_bytes(token.decoder_text);
}

void Tokenizer::Parts::build_matchers() {
  std::vector<AddedToken> raw, normalized;
  std::vector<std::string> raw_patterns, normalized_patterns;
  for (const auto& token : added_tokens) {
    (token.normalized ? normalized : raw).push_back(token);
    if (token.normalized)
      normalized_patterns.push_back(normalizer.normalize(token.content));
    else
      raw_patterns.push_back(token.content);
  }
  raw_matcher = AddedTokenMatcher(std::move(raw), raw_patterns);
  normalized_matcher = AddedTokenMatcher(std::move(normalized), normalized_patterns);
}

void Tokenizer::Parts::warn_about_ignored_settings() const {
  for (const char* key : {"truncation", "padding"})
    if (document_of(file).optional_member(key))
      core::log::warning("{}: the setting \"{}\" is left aside: texts are neither cut nor padded here",
                         file.name, key);
}

std::string Tokenizer::Parts::compute_digest() const {
  nlohmann::json behavior;  // sorts keys
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "model"})
    if (const auto it = file.document.find(key); it != file.document.end())
      behavior[key] = nlohmann::json::parse(it->dump());
  auto by_id = added_tokens;
  std::sort(by_id.begin(), by_id.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  for (const auto& token : by_id)
    behavior["added_tokens"].push_back(nlohmann::json::parse(tokenizer::to_json(token).dump()));
  core::Digest digest_of_all;
  const auto add = [&](std::string_view text) {
    const uint64_t size = text.size();  // sizes keep neighbours apart
    digest_of_all.update(std::as_bytes(std::span(&size, 1)));
    digest_of_all.update(std::as_bytes(std::span(text.data(), text.size())));
  };
  add(behavior.dump());
  for (const auto& token : tokens) {
    if (token.exists)
      add(token.text);
    else
      digest_of_all.update(std::as_bytes(std::span(&kNoToken, 1)));
  }
  for (const auto& [left, right] : file.merges) add(left), add(right);
  return digest_of_all.hex();
}

void Tokenizer::Parts::encode(std::string_view text, WordCache& cache, std::vector<uint32_t>& ids) const {
  for (const auto& part : raw_matcher.split(text)) {
    if (part.id) {
      ids.push_back(*part.id);
      continue;
    }
    const bool is_text_start = part.text.data() == text.data();
    if (normalizer.is_identity() && normalized_matcher.empty()) {
      encode_segment(part.text, is_text_start, cache, ids);
      continue;
    }
    const std::string normalized = normalizer.normalize(std::string(part.text));
    for (const auto& segment : normalized_matcher.split(normalized)) {
      if (segment.id)
        ids.push_back(*segment.id);
      else
        encode_segment(segment.text, is_text_start && segment.text.data() == normalized.data(), cache, ids);
    }
  }
}

void Tokenizer::Parts::encode_segment(std::string_view text, bool is_text_start, WordCache& cache,
                                      std::vector<uint32_t>& ids) const {
  Pieces pieces;
  pre_tokenizer.split(text, is_text_start, pieces);
  for (const auto piece : pieces.list) model.encode(piece, cache, ids);
}

const std::string* Tokenizer::Parts::decoder_text(uint32_t id, bool skip_special_tokens) const {
  if (id >= tokens.size() || !tokens[id].exists) return nullptr;
  const Token& token = tokens[id];
  return skip_special_tokens && token.is_skipped ? nullptr : &token.decoder_text;
}

Tokenizer Tokenizer::from_file(const std::string& path, core::FileSystem& fs) {
  return from_json(core::read_text_file(fs, path, kMaxTokenizerFileBytes), path);
}

Tokenizer Tokenizer::from_json(std::string_view json, const std::string& name) {
  return Tokenizer(std::make_shared<const Parts>(parse_tokenizer_file(json, name)));
}

std::string Tokenizer::to_json() const {
  return serialize(parts_->file);
}

void Tokenizer::save(const std::string& path, core::FileSystem& fs) const {
  core::write_file_atomically(fs, path, to_json());
}

std::vector<uint32_t> Tokenizer::encode(std::string_view text, bool add_special_tokens) const {
  std::string repaired;
  if (valid_utf8_prefix(text).num_bad_bytes > 0) text = repaired = to_valid_utf8(text);
  WordCachePool::Lease cache(parts_->caches);
  std::vector<uint32_t> ids;
  parts_->encode(text, *cache, ids);
  return parts_->post_processor.process(std::move(ids), add_special_tokens);
}

std::vector<std::vector<uint32_t>> Tokenizer::encode_batch(std::span<const std::string> texts,
                                                           bool add_special_tokens) const {
  std::vector<std::vector<uint32_t>> ids(texts.size());
  core::parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t i) {
    ids[static_cast<size_t>(i)] = encode(texts[static_cast<size_t>(i)], add_special_tokens);
  });
  return ids;
}

std::string Tokenizer::decode(std::span<const uint32_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  std::vector<std::string> tokens;
  for (const uint32_t id : ids) {
    const std::string* text = parts_->decoder_text(id, skip_special_tokens);
    if (!text) continue;
    if (parts_->decoder.is_byte_level())
      bytes += *text;
    else
      tokens.push_back(*text);
  }
  return parts_->decoder.is_byte_level() ? to_valid_utf8(bytes) : parts_->decoder.decode(std::move(tokens));
}

uint32_t Tokenizer::vocab_size() const {
  return static_cast<uint32_t>(parts_->tokens.size());
}

std::optional<uint32_t> Tokenizer::token_to_id(std::string_view token) const {
  for (const auto& added : parts_->added_tokens)
    if (added.content == token) return added.id;
  const uint32_t id = parts_->model.token_to_id(token);
  return id == kNoToken ? std::nullopt : std::optional(id);
}

std::optional<std::string> Tokenizer::id_to_token(uint32_t id) const {
  if (id >= parts_->tokens.size() || !parts_->tokens[id].exists) return std::nullopt;
  return parts_->tokens[id].text;
}

bool Tokenizer::is_special(uint32_t id) const {
  return id < parts_->tokens.size() && parts_->tokens[id].is_special;
}

namespace {

std::optional<uint32_t> first_known(const Tokenizer& tokenizer,
                                    std::initializer_list<std::string_view> names) {
  for (const auto name : names)
    if (const auto id = tokenizer.token_to_id(name)) return id;
  return std::nullopt;
}

}  // namespace

std::optional<uint32_t> Tokenizer::bos_id() const {
  if (const auto id = parts_->post_processor.id_before_text()) return id;
  return first_known(*this,
                     {"<｜begin▁of▁sentence｜>", "<|begin_of_text|>", "<s>", "<bos>", "<|startoftext|>"});
}

std::optional<uint32_t> Tokenizer::eos_id() const {
  if (const auto id = parts_->post_processor.id_after_text()) return id;
  return first_known(*this, {"<｜end▁of▁sentence｜>", "<|end_of_text|>", "</s>", "<eos>", "<|endoftext|>"});
}

std::optional<uint32_t> Tokenizer::pad_id() const {
  return first_known(*this, {"<｜▁pad▁｜>", "<|finetune_right_pad_id|>", "<pad>", "<|pad|>", "[PAD]"});
}

const std::string& Tokenizer::digest() const {
  return parts_->digest;
}

}  // namespace athanor::data::tokenizer
