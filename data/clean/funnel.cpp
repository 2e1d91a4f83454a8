#include "data/clean/funnel.h"

#include <algorithm>

#include "core/error.h"
#include "core/json.h"

namespace athanor::clean {

void to_json(nlohmann::json& json, const Tally& tally) {
  json = {tally.documents, tally.bytes};
}
void from_json(const nlohmann::json& json, Tally& tally) {
  json.at(0).get_to(tally.documents);
  json.at(1).get_to(tally.bytes);
}

void to_json(nlohmann::json& json, const Example& example) {
  json = {example.key.file, example.key.record, example.line_number, example.detail, example.text};
}
void from_json(const nlohmann::json& json, Example& example) {
  json.at(0).get_to(example.key.file);
  json.at(1).get_to(example.key.record);
  json.at(2).get_to(example.line_number);
  json.at(3).get_to(example.detail);
  json.at(4).get_to(example.text);
}

void to_json(nlohmann::json& json, const FileFacts& facts) {
  json = {facts.records, facts.unreadable, facts.first_unreadable};
}
void from_json(const nlohmann::json& json, FileFacts& facts) {
  json.at(0).get_to(facts.records);
  json.at(1).get_to(facts.unreadable);
  json.at(2).get_to(facts.first_unreadable);
}

void FileFacts::add_unreadable(Example example) {
  if (unreadable == 0 || example.key < first_unreadable.key) first_unreadable = std::move(example);
  ++unreadable;
}

void FileFacts::add(const FileFacts& other) {
  const bool is_first =
      other.unreadable > 0 && (unreadable == 0 || other.first_unreadable.key < first_unreadable.key);
  if (is_first) first_unreadable = other.first_unreadable;
  records += other.records;
  unreadable += other.unreadable;
}

bool Funnel::wants_example(Rule rule, const DocumentKey& key) const {
  const auto& kept_examples = examples[static_cast<size_t>(rule)];
  return kept_examples.size() < max_examples || (max_examples > 0 && key < kept_examples.back().key);
}

void Funnel::add_example(Rule rule, Example example) {
  if (!wants_example(rule, example.key)) return;
  auto& all = examples[static_cast<size_t>(rule)];
  const auto is_earlier = [](const Example& a, const Example& b) { return a.key < b.key; };
  all.insert(std::upper_bound(all.begin(), all.end(), example, is_earlier), std::move(example));
  if (all.size() > max_examples) all.pop_back();
}

void Funnel::add(const Funnel& other) {
  max_examples = std::max(max_examples, other.max_examples);
  read.add(other.read);
  bytes_edited_away += other.bytes_edited_away;
  for (size_t i = 0; i < removed.size(); ++i) {
    removed[i].add(other.removed[i]);
    for (const auto& example : other.examples[i]) add_example(static_cast<Rule>(i), example);
  }
  for (size_t i = 0; i < edited.size(); ++i) edited[i] += other.edited[i];
  for (size_t i = 0; i < judged.size(); ++i) {
    judged[i].add(other.judged[i]);
    kept[i].add(other.kept[i]);
  }
  if (files.empty()) files = other.files;
  file_facts.resize(std::max(file_facts.size(), other.file_facts.size()));
  for (size_t i = 0; i < other.file_facts.size(); ++i) file_facts[i].add(other.file_facts[i]);
  seconds = std::max(seconds, other.seconds);
  damaged_files.insert(damaged_files.end(), other.damaged_files.begin(), other.damaged_files.end());
  std::sort(damaged_files.begin(), damaged_files.end());
  damaged_files.erase(std::unique(damaged_files.begin(), damaged_files.end()), damaged_files.end());
}

Tally Funnel::left() const {
  Tally tally = read;
  tally.bytes -= static_cast<uint64_t>(bytes_edited_away);
  for (const Tally& part : removed) {
    tally.documents -= part.documents;
    tally.bytes -= part.bytes;
  }
  return tally;
}

std::string funnel_to_json(const Funnel& f) {
  const nlohmann::json json = {{"max_examples", f.max_examples},
                               {"read", f.read},
                               {"removed", f.removed},
                               {"edited", f.edited},
                               {"bytes_edited_away", f.bytes_edited_away},
                               {"judged", f.judged},
                               {"kept", f.kept},
                               {"examples", f.examples},
                               {"files", f.files},
                               {"file_facts", f.file_facts},
                               {"seconds", f.seconds},
                               {"damaged_files", f.damaged_files}};
  return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Funnel funnel_from_json(const std::string& text, const std::string& path) {
  try {
    const auto json = nlohmann::json::parse(text);
    Funnel f(json.at("max_examples").get<size_t>());
    json.at("read").get_to(f.read);
    json.at("removed").get_to(f.removed);
    json.at("edited").get_to(f.edited);
    json.at("bytes_edited_away").get_to(f.bytes_edited_away);
    json.at("judged").get_to(f.judged);
    json.at("kept").get_to(f.kept);
    json.at("examples").get_to(f.examples);
    json.at("files").get_to(f.files);
    json.at("file_facts").get_to(f.file_facts);
    json.at("seconds").get_to(f.seconds);
    json.at("damaged_files").get_to(f.damaged_files);
    return f;
  } catch (const nlohmann::json::exception& error) {
    throw core::DataError("{}: no funnel of this version ({}); run this shard of clean again", path,
                          error.what());
  }
}

}  // namespace athanor::clean
