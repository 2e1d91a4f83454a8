#include "data/tokenizer/tokenizer_parts.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

bool ends_with(std::string_view text, std::string_view suffix) {
  return text.size() >= suffix.size() && text.substr(text.size() - suffix.size()) == suffix;
}

}  // namespace

IncrementalDecoder::IncrementalDecoder(Tokenizer tokenizer, bool skip_special_tokens)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {}
IncrementalDecoder::~IncrementalDecoder() = default;
IncrementalDecoder::IncrementalDecoder(IncrementalDecoder&&) noexcept = default;
IncrementalDecoder& IncrementalDecoder::operator=(IncrementalDecoder&&) noexcept = default;

std::string IncrementalDecoder::push(uint32_t id) {
  if (!tokenizer_.parts_->decoder_text(id, skip_special_tokens_)) return {};
  return tokenizer_.parts_->decoder.is_byte_level() ? push_bytes(id) : push_tokens(id);
}

std::string IncrementalDecoder::push_bytes(uint32_t id) {
  pending_bytes_ += *tokenizer_.parts_->decoder_text(id, skip_special_tokens_);
  std::string text;
  for (;;) {
    const Utf8Prefix prefix = valid_utf8_prefix(pending_bytes_);
    text.append(pending_bytes_, 0, prefix.num_valid_bytes);
    pending_bytes_.erase(0, prefix.num_valid_bytes);
    if (prefix.num_bad_bytes == 0 || prefix.is_truncated) return text;
    text += kReplacementCharacter;
    pending_bytes_.erase(0, prefix.num_bad_bytes);
  }
}

// The ids before the new text are decoded again with it, so that rules for the start of a text act on both
// alike.
std::string IncrementalDecoder::push_tokens(uint32_t id) {
  window_.push_back(id);
  const auto shown = tokenizer_.decode(std::span(window_).first(num_shown_), skip_special_tokens_);
  const auto all = tokenizer_.decode(window_, skip_special_tokens_);
  if (all.size() <= shown.size() || ends_with(all, kReplacementCharacter)) return {};
  window_.erase(window_.begin(), window_.begin() + static_cast<ptrdiff_t>(num_shown_));
  num_shown_ = window_.size();
  return all.substr(shown.size());
}

std::string IncrementalDecoder::finish() {
  std::string text = to_valid_utf8(pending_bytes_);
  pending_bytes_.clear();
  const auto shown = tokenizer_.decode(std::span(window_).first(num_shown_), skip_special_tokens_);
  const auto all = tokenizer_.decode(window_, skip_special_tokens_);
  if (all.size() > shown.size()) text += all.substr(shown.size());
  window_.clear();
  num_shown_ = 0;
  return text;
}

}  // namespace athanor::data::tokenizer
