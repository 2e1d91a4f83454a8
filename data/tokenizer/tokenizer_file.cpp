#include "data/tokenizer/tokenizer_file.h"

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/json.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

using core::DataError;

constexpr size_t kMaxDepth = 64;
constexpr size_t kMaxKeysPerObject = 4096;
constexpr uint64_t kMaxId = std::numeric_limits<uint32_t>::max() - 1;  // the largest means "no token"

// Builds the document from parser events, except model.vocab and model.merges, which go to the lists.
class DocumentBuilder : public nlohmann::json_sax<Json> {
 public:
  explicit DocumentBuilder(TokenizerFile& file) : file_(file) {}

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool binary(binary_t&) override { return false; }

  bool number_unsigned(number_unsigned_t value) override {
    if (part_ != Part::kVocab) return add(value);
    if (value > kMaxId) fail_vocab(fmt::format("{}", value));
    file_.vocab.emplace_back(std::move(key_), static_cast<uint32_t>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (part_ != Part::kMerges) return add(std::move(value));
    if (pair_size_ < 0) return add_merge_string(value);
    if (pair_size_ >= 2) fail_merge("an array of more than two");
    (pair_size_++ == 0 ? file_.merges.back().first : file_.merges.back().second) = std::move(value);
    return true;
  }

  bool start_object(size_t) override {
    if (part_ == Part::kVocab) fail_vocab("an object");
    if (part_ == Part::kMerges) fail_merge("an object");
    if (is_at_model_member("vocab")) {
      has_vocab_ = true;
      part_ = Part::kVocab;
      return true;
    }
    return open(Json::object());
  }

  bool key(string_t& value) override {
    key_ = std::move(value);
    if (part_ == Part::kVocab) return true;
    if (open_.back()->size() >= kMaxKeysPerObject)
      throw DataError("{}: an object has more than {} keys", file_.name, kMaxKeysPerObject);
    return true;
  }

  bool end_object() override { return close(); }

  bool start_array(size_t) override {
    if (part_ == Part::kVocab) fail_vocab("an array");
    if (part_ == Part::kMerges) {
      if (pair_size_ >= 0) fail_merge("an array within a pair");
      if (!file_.merges.empty() && file_.merges_are_strings) fail_merge("a pair after strings");
      pair_size_ = 0;
      file_.merges.emplace_back();
      return true;
    }
    if (is_at_model_member("merges")) {
      has_merges_ = true;
      part_ = Part::kMerges;
      return true;
    }
    return open(Json::array());
  }

  bool end_array() override {
    if (part_ == Part::kMerges && pair_size_ >= 0) {
      if (pair_size_ != 2) fail_merge("an array of fewer than two");
      pair_size_ = -1;
      return true;
    }
    return close();
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& error) override {
    throw DataError("{}: not valid JSON near byte {}: {}", file_.name, position, core::json_problem(error));
  }

  void check_complete() const {
    if (!file_.document.is_object()) throw DataError("{}: expected a JSON object", file_.name);
    const auto model = file_.document.find("model");
    if (model == file_.document.end() || !model->is_object())
      throw DataError("{}: expected a tokenizer.json with an object \"model\"", file_.name);
    if (model->contains("vocab") || model->contains("merges"))
      throw DataError("{}: model.vocab must be an object and model.merges an array", file_.name);
  }
  bool has_vocab() const { return has_vocab_; }
  bool has_merges() const { return has_merges_; }

 private:
  enum class Part { kTree, kVocab, kMerges };

  [[noreturn]] void fail_vocab(std::string_view found) const {
    throw DataError("{}: model.vocab[\"{}\"]: expected an id from 0 to {}, found {}", file_.name,
                    excerpt(key_), kMaxId, excerpt(found));
  }
  [[noreturn]] void fail_merge(std::string_view found) const {
    throw DataError("{}: model.merges[{}]: expected \"a b\" or [\"a\", \"b\"], found {}", file_.name,
                    file_.merges.size(), excerpt(found));
  }

  bool is_at_model_member(std::string_view name) const {
    return open_.size() == 2 && key_ == name && file_.document.contains("model") &&
           open_.back() == &file_.document["model"];
  }

  bool add_merge_string(const std::string& text) {
    const size_t space = text.find(' ');
    const bool is_pair = space != std::string::npos && text.find(' ', space + 1) == std::string::npos;
    if (!is_pair) fail_merge(fmt::format("\"{}\"", excerpt(text)));
    if (!file_.merges.empty() && !file_.merges_are_strings) fail_merge("a string after pairs");
    file_.merges_are_strings = true;
    file_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    return true;
  }

  bool add(Json value) {
    if (part_ == Part::kVocab) fail_vocab(value.dump(-1, ' ', false, Json::error_handler_t::replace));
    if (part_ == Part::kMerges) fail_merge(value.dump(-1, ' ', false, Json::error_handler_t::replace));
    place(std::move(value));
    return true;
  }

  Json* place(Json value) {
    if (open_.empty()) return &(file_.document = std::move(value));
    if (open_.back()->is_array()) return open_.back()->push_back(std::move(value)), &open_.back()->back();
    return &((*open_.back())[key_] = std::move(value));
  }

  bool open(Json container) {
    if (open_.size() >= kMaxDepth) throw DataError("{}: nested deeper than {}", file_.name, kMaxDepth);
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    if (part_ == Part::kTree) open_.pop_back();
    part_ = Part::kTree;
    return true;
  }

  TokenizerFile& file_;
  std::vector<Json*> open_;  ///< from the document down to the container being filled
  std::string key_;
  Part part_ = Part::kTree;
  int pair_size_ = -1;  ///< strings read of a pair; -1: not in one
  bool has_vocab_ = false, has_merges_ = false;
};

constexpr const char* kKeyOrder[] = {"version",        "truncation", "padding",
                                     "added_tokens",   "normalizer", "pre_tokenizer",
                                     "post_processor", "decoder",    "model"};

std::string json_string(const std::string& text) {
  return Json(text).dump();
}

void append_vocab(std::string& out, std::vector<std::pair<std::string, uint32_t>> vocab) {
  std::sort(vocab.begin(), vocab.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  out += "{";
  for (size_t i = 0; i < vocab.size(); ++i)
    out += fmt::format("{}\n      {}: {}", i ? "," : "", json_string(vocab[i].first), vocab[i].second);
  out += "\n    }";
}

void append_merges(std::string& out, const TokenizerFile& file) {
  out += "[";
  for (size_t i = 0; i < file.merges.size(); ++i) {
    const auto& [left, right] = file.merges[i];
    out += i ? ",\n      " : "\n      ";
    out += file.merges_are_strings ? json_string(left + " " + right)
                                   : fmt::format("[{}, {}]", json_string(left), json_string(right));
  }
  out += "\n    ]";
}

std::string indented(const Json& value) {
  std::string text = value.dump(2), out;
  for (const char c : text) out += c == '\n' ? std::string("\n  ") : std::string(1, c);
  return out;
}

void append_model(std::string& out, const TokenizerFile& file) {
  out += "{";
  for (const auto& item : file.document.at("model").items())
    out += fmt::format("\n    {}: {},", json_string(item.key()), item.value().dump());
  out += "\n    \"vocab\": ";
  append_vocab(out, file.vocab);
  out += ",\n    \"merges\": ";
  append_merges(out, file);
  out += "\n  }";
}

}  // namespace

TokenizerFile parse_tokenizer_file(std::string_view text, std::string name) {
  if (text.size() > kMaxTokenizerFileBytes)
    throw DataError("{}: {} bytes, more than the {} allowed for a tokenizer", name, text.size(),
                    kMaxTokenizerFileBytes);
  TokenizerFile file;
  file.name = std::move(name);
  DocumentBuilder builder(file);
  Json::sax_parse(text.begin(), text.end(), &builder);
  builder.check_complete();
  if (!builder.has_vocab())
    throw DataError("{}: model: expected the object \"vocab\", which is missing", file.name);
  if (!builder.has_merges())
    throw DataError("{}: model: expected the array \"merges\", which is missing", file.name);
  return file;
}

std::string serialize(const TokenizerFile& file) {
  Json ordered = Json::object();
  for (const char* key : kKeyOrder)
    ordered[key] = file.document.contains(key) ? file.document.at(key) : Json(nullptr);
  for (const auto& item : file.document.items()) ordered[item.key()] = item.value();
  std::string out = "{";
  for (const auto& item : ordered.items()) {
    out += fmt::format("{}\n  {}: ", out.size() > 1 ? "," : "", json_string(item.key()));
    if (item.key() == "model")
      append_model(out, file);
    else
      out += indented(item.value());
  }
  return out + "\n}\n";
}

std::vector<AddedToken> read_added_tokens(const JsonCursor& document) {
  std::vector<AddedToken> tokens;
  const auto list = document.optional_member("added_tokens");
  if (!list) return tokens;
  for (const auto& entry : list->elements()) {
    AddedToken token;
    token.id = static_cast<uint32_t>(entry.member("id").as_unsigned(kMaxId));
    token.content = entry.member("content").as_string();
    if (token.content.empty()) entry.member("content").fail("a text that is not empty");
    token.special = entry.bool_member("special", false);
    token.single_word = entry.bool_member("single_word", false);
    token.lstrip = entry.bool_member("lstrip", false);
    token.rstrip = entry.bool_member("rstrip", false);
    token.normalized = entry.bool_member("normalized", !token.special);
    tokens.push_back(std::move(token));
  }
  return tokens;
}

Json to_json(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

}  // namespace athanor::data::tokenizer
