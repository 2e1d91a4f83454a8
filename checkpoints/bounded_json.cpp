#include "checkpoints/bounded_json.h"

#include <limits>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/error.h"
#include "core/json.h"

namespace athanor::checkpoints {
namespace {

using core::DataError;
using nlohmann::json;

// Builds the document event by event, so that depth and duplicate keys are seen before anything grows.
class LimitedBuilder : public nlohmann::json_sax<json> {
 public:
  LimitedBuilder(const std::string& origin, int max_depth) : origin_(origin), max_depth_(max_depth) {}

  json take() { return std::move(root_); }

  bool null() override { return put(nullptr); }
  bool boolean(bool value) override { return put(value); }
  bool number_integer(int64_t value) override { return put(value); }
  bool number_unsigned(uint64_t value) override { return put(value); }
  bool number_float(double value, const std::string&) override { return put(value); }
  bool string(std::string& value) override { return put(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(std::string& name) override {
    const auto [slot, is_new] = open_.back()->emplace(name, nullptr);
    if (!is_new) throw DataError("{}: the key {} appears twice in one JSON object", origin_, printable(name));
    slot_ = &*slot;
    return true;
  }

  bool parse_error(size_t position, const std::string&, const json::exception& error) override {
    throw DataError("{}: not valid JSON at byte {}: {}", origin_, position, error.what());
  }

 private:
  bool put(json value) {
    *place() = std::move(value);
    return true;
  }

  json* place() {
    if (open_.empty()) return &root_;
    if (open_.back()->is_object()) return slot_;
    return &open_.back()->emplace_back(nullptr);
  }

  bool open(json empty) {
    if (static_cast<int>(open_.size()) == max_depth_)
      throw DataError("{}: JSON nested deeper than the {} levels allowed", origin_, max_depth_);
    json* const at = place();
    *at = std::move(empty);
    open_.push_back(at);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& origin_;
  int max_depth_;
  json root_;
  json* slot_ = nullptr;
  std::vector<json*> open_;
};

}  // namespace

void check_json_text(std::string_view text, const std::string& origin, uint64_t max_bytes) {
  if (text.size() > max_bytes)
    throw DataError("{}: {} bytes of JSON, more than the {} allowed", origin, text.size(), max_bytes);
  if (text.empty() || text.front() != '{')
    throw DataError(
        "{}: JSON must start with '{{', found {}", origin,
        text.empty() ? "nothing" : fmt::format("byte 0x{:02x}", static_cast<unsigned char>(text.front())));
  // The parser takes NUL for the end of its input and would not see what follows.
  if (const size_t at = text.find('\0'); at != std::string_view::npos)
    throw DataError("{}: a NUL byte inside the JSON, at byte {}", origin, at);
}

json parse_json_object(std::string_view text, const std::string& origin, const JsonLimits& limits) {
  check_json_text(text, origin, limits.max_bytes);
  LimitedBuilder builder(origin, limits.max_depth);
  json::sax_parse(text.begin(), text.end(), &builder);
  return builder.take();
}

std::string printable(std::string_view name) {
  constexpr size_t kMaxShown = 120;
  const std::string_view shown = name.substr(0, kMaxShown);
  const std::string text = json(shown).dump(-1, ' ', false, json::error_handler_t::replace);
  return shown.size() == name.size() ? text : fmt::format("{}... ({} bytes)", text, name.size());
}

JsonView JsonView::at(std::string_view key) const {
  if (!value_->is_object()) fail("an object");
  const auto found = value_->find(std::string(key));
  if (found == value_->end()) fail_with(fmt::format("the key {} is missing", printable(key)));
  return JsonView(*found, *this, key, 0);
}

bool JsonView::has(std::string_view key) const {
  return value_->is_object() && value_->contains(std::string(key));
}

uint64_t JsonView::size() const {
  if (!value_->is_array()) fail("an array");
  return value_->size();
}

JsonView JsonView::item(uint64_t index) const {
  if (index >= size()) fail(fmt::format("an array of more than {} items", index));
  return JsonView((*value_)[index], *this, {}, index);
}

std::string JsonView::as_string() const {
  if (!value_->is_string()) fail("a string");
  return value_->get<std::string>();
}

uint64_t JsonView::as_unsigned() const {
  if (!value_->is_number_unsigned()) fail("a non-negative integer");
  const auto number = value_->get<uint64_t>();
  if (number > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) fail("an integer below 2^63");
  return number;
}

std::string JsonView::as_object_text() const {
  if (!value_->is_object()) fail("an object");
  return value_->dump();
}

void JsonView::fail(std::string_view expected) const {
  const std::string found = value_->dump(-1, ' ', false, json::error_handler_t::replace);
  fail_with(
      fmt::format("expected {}, found {}{}", expected, found.substr(0, 60), found.size() > 60 ? "..." : ""));
}

void JsonView::fail_with(std::string_view complaint) const {
  const std::string where = way();
  throw DataError("{}: {}{}{}", origin_, where, where.empty() ? "" : ": ", complaint);
}

std::string JsonView::way() const {
  if (!parent_) return "";
  const std::string before = parent_->way();
  if (key_.empty()) return fmt::format("{}[{}]", before, index_);
  return before.empty() ? std::string(key_) : fmt::format("{}.{}", before, key_);
}

}  // namespace athanor::checkpoints
