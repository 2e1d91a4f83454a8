#include "data/tokenizer/bpe_model.h"

#include <algorithm>
#include <utility>

#include "core/error.h"
#include "data/tokenizer/byte_alphabet.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::DataError;

std::string fallback_token(size_t byte) {
  return fmt::format("<0x{:02X}>", byte);
}

constexpr size_t kFallbackTokenBytes = 6;

}  // namespace

BpeModel::BpeModel(const TokenizerFile& file, bool takes_bytes)
    : name_(file.name), takes_bytes_(takes_bytes) {
  const JsonCursor document(file.document, file.name);
  read_vocab(file);
  index_symbols();
  read_options(document.member("model"));
  read_merges(file);
  if (!takes_bytes_) note_junctions(file);
}

void BpeModel::read_vocab(const TokenizerFile& file) {
  for (const auto& [token, id] : file.vocab)
    if (!id_of_token_.emplace(token, id).second)
      throw DataError("{}: model.vocab: the token \"{}\" stands there twice", name_, excerpt(token));
}

void BpeModel::read_options(const JsonCursor& model) {
  // Some files, such as the older ones of GPT-2, have no type.
  if (const auto type = model.optional_member("type"); type && type->as_string() != "BPE")
    type->fail("\"BPE\", the only model that is supported");
  if (const auto dropout = model.optional_member("dropout"); dropout && dropout->json() != 0.0)
    dropout->fail("null or 0: encoding is deterministic here, set it so");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (const auto affix = model.optional_member(key); affix && !affix->as_string().empty())
      affix->fail("null or \"\": prefixes and suffixes of words are not supported");
  fuse_unknown_ = model.bool_member("fuse_unk", false);
  byte_fallback_ = model.bool_member("byte_fallback", false);
  ignore_merges_ = model.bool_member("ignore_merges", false);
  if (const auto unknown = model.optional_member("unk_token")) {
    unknown_id_ = token_to_id(unknown->as_string());
    const bool is_needed = !(takes_bytes_ && has_all_bytes_);
    if (unknown_id_ == kNoToken && is_needed) unknown->fail("a token of model.vocab");
  }
  if (!ignore_merges_) return;
  for (const auto& [token, id] : id_of_token_) {
    const auto word = takes_bytes_ ? from_byte_symbols(token) : token;
    if (word) id_of_whole_word_.emplace(*word, id);
  }
}

void BpeModel::index_symbols() {
  for (size_t byte = 0; byte < 256; ++byte) {
    id_of_byte_[byte] = token_to_id(byte_symbol(static_cast<uint8_t>(byte)));
    id_of_fallback_byte_[byte] = token_to_id(fallback_token(byte));
  }
  has_all_bytes_ = std::find(id_of_byte_.begin(), id_of_byte_.end(), kNoToken) == id_of_byte_.end();
  for (const auto& [token, id] : id_of_token_) {
    if (token.empty()) continue;
    const CodePoint c = decode_code_point(token.data());
    if (c.num_bytes != token.size()) continue;
    if (id_of_character_.size() <= c.value) id_of_character_.resize(c.value + 1, kNoToken);
    id_of_character_[c.value] = id;
  }
}

void BpeModel::read_merges(const TokenizerFile& file) {
  for (size_t rank = 0; rank < file.merges.size(); ++rank) {
    const auto& [left, right] = file.merges[rank];
    const auto id_of = [&](const std::string& token, const char* role) {
      const uint32_t id = token.empty() ? kNoToken : token_to_id(token);
      if (id == kNoToken)
        throw DataError("{}: model.merges[{}] of \"{}\" and \"{}\": {} \"{}\" is not a token of model.vocab",
                        name_, rank, excerpt(left), excerpt(right), role, excerpt(token));
      return id;
    };
    const uint64_t pair = pair_key(id_of(left, "the left part"), id_of(right, "the right part"));
    merges_[pair] = {static_cast<uint32_t>(rank), id_of(left + right, "the result")};
  }
}

// A piece without a splitting rule may be a whole document (Llama 2). It is cut where two symbols meet that
// no merge ever joins; merges on the two sides are then independent, and the parts are short enough to be
// remembered.
void BpeModel::note_junctions(const TokenizerFile& file) {
  for (const auto& [left, right] : file.merges)
    for (const uint32_t last : edge_symbols(left, true))
      for (const uint32_t first : edge_symbols(right, false)) junctions_[pair_key(last, first)] = 1;
}

// The symbols with which `token` may start or end: a character, or a byte written as "<0xNN>".
std::vector<uint32_t> BpeModel::edge_symbols(std::string_view token, bool at_end) const {
  std::vector<uint32_t> symbols;
  size_t at = at_end ? token.size() - 1 : 0;
  while (is_continuation_byte(token[at])) --at;
  if (const uint32_t id = character_id(decode_code_point(token.data() + at).value); id != kNoToken)
    symbols.push_back(id);
  if (token.size() < kFallbackTokenBytes) return symbols;
  const auto edge = token.substr(at_end ? token.size() - kFallbackTokenBytes : 0, kFallbackTokenBytes);
  if (edge.substr(0, 3) == "<0x")
    if (const uint32_t id = token_to_id(edge); id != kNoToken) symbols.push_back(id);
  return symbols;
}

uint32_t BpeModel::token_to_id(std::string_view token) const {
  const auto it = id_of_token_.find(std::string(token));
  return it == id_of_token_.end() ? kNoToken : it->second;
}

void BpeModel::encode(std::string_view piece, WordCache& cache, std::vector<uint32_t>& ids) const {
  if (ignore_merges_) {
    if (const auto it = id_of_whole_word_.find(std::string(piece)); it != id_of_whole_word_.end())
      return ids.push_back(it->second);
  }
  if (takes_bytes_)
    encode_word(piece, cache, ids);
  else
    encode_characters(piece, cache, ids);
}

void BpeModel::encode_characters(std::string_view piece, WordCache& cache, std::vector<uint32_t>& ids) const {
  size_t word_begin = 0;
  uint32_t previous_last = kNoToken;
  for (size_t at = 0; at < piece.size();) {
    const size_t num_bytes = decode_code_point(piece.data() + at).num_bytes;
    const Edges edges = edges_of(piece.substr(at, num_bytes));
    const bool is_cut = previous_last != kNoToken && edges.first != kNoToken &&
                        !junctions_.find(pair_key(previous_last, edges.first));
    if (is_cut) {
      encode_word(piece.substr(word_begin, at - word_begin), cache, ids);
      word_begin = at;
    }
    // Behind an unknown character nothing is cut until a known one: its token may have to wait for that.
    const bool may_be_waiting = edges.is_fallback && previous_last == kNoToken;
    previous_last = may_be_waiting ? kNoToken : edges.last;
    at += num_bytes;
  }
  encode_word(piece.substr(word_begin), cache, ids);
}

BpeModel::Edges BpeModel::edges_of(std::string_view character) const {
  const uint32_t id = character_id(decode_code_point(character.data()).value);
  if (id != kNoToken) return {id, id, false};
  if (!falls_back_to_bytes(character)) return {kNoToken, kNoToken, false};
  const auto byte_id = [&](char byte) { return id_of_fallback_byte_[static_cast<unsigned char>(byte)]; };
  return {byte_id(character.front()), byte_id(character.back()), true};
}

void BpeModel::encode_word(std::string_view word, WordCache& cache, std::vector<uint32_t>& ids) const {
  const size_t begin = ids.size();
  if (word.size() > WordCache::kMaxWordBytes) {
    append_symbols(word, ids);
    return merge_symbols(merges_, ids, begin);
  }
  const uint64_t hash = hash_bytes(word.data(), word.size());
  if (const auto known = cache.find(word, hash); known.data()) {
    ids.insert(ids.end(), known.begin(), known.end());
    return;
  }
  append_symbols(word, ids);
  merge_symbols(merges_, ids, begin);
  if (ids.size() > begin) cache.insert(word, hash, std::span(ids).subspan(begin));
}

void BpeModel::append_symbols(std::string_view word, std::vector<uint32_t>& ids) const {
  if (!takes_bytes_) return append_character_symbols(word, ids);
  if (!has_all_bytes_) return append_character_symbols(to_byte_symbols(word), ids);
  for (const char byte : word) ids.push_back(id_of_byte_[static_cast<unsigned char>(byte)]);
}

// An unknown token waits until the next known character and is not pushed out by fallback bytes in between;
// that is what Hugging Face does, and texts must get the same ids.
void BpeModel::append_character_symbols(std::string_view word, std::vector<uint32_t>& ids) const {
  size_t num_waiting = 0;
  const auto flush = [&] { ids.insert(ids.end(), std::exchange(num_waiting, 0), unknown_id_); };
  for (size_t at = 0; at < word.size();) {
    const CodePoint c = decode_code_point(word.data() + at);
    const auto character = word.substr(at, c.num_bytes);
    at += c.num_bytes;
    if (const uint32_t id = character_id(c.value); id != kNoToken) {
      flush();
      ids.push_back(id);
    } else if (falls_back_to_bytes(character)) {
      for (const char byte : character) ids.push_back(id_of_fallback_byte_[static_cast<unsigned char>(byte)]);
    } else if (unknown_id_ != kNoToken) {
      if (!fuse_unknown_) flush();
      num_waiting = 1;
    }
  }
  flush();
}

uint32_t BpeModel::character_id(uint32_t code_point) const {
  return code_point < id_of_character_.size() ? id_of_character_[code_point] : kNoToken;
}

bool BpeModel::falls_back_to_bytes(std::string_view character) const {
  return byte_fallback_ && std::all_of(character.begin(), character.end(), [&](char byte) {
           return id_of_fallback_byte_[static_cast<unsigned char>(byte)] != kNoToken;
         });
}

}  // namespace athanor::data::tokenizer
