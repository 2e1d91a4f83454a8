#include <algorithm>

#include "data/tokenizer/tokenizer_parts.h"
#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {
namespace {

// What `all` has behind the characters that it shares with `shown`.
std::string_view behind_shared(std::string_view shown, std::string_view all) {
  auto end = static_cast<size_t>(std::mismatch(shown.begin(), shown.end(), all.begin(), all.end()).second -
                                 all.begin());
  while (end < all.size() && end > 0 && is_continuation_byte(all[end])) --end;
  return all.substr(end);
}

}  // namespace

IncrementalDecoder::IncrementalDecoder(Tokenizer tokenizer, bool skip_special_tokens,
                                       std::span<const uint32_t> context)
    : tokenizer_(std::move(tokenizer)), skip_special_tokens_(skip_special_tokens) {
  if (!tokenizer_.parts_->decoder.is_byte_level()) {
    window_.assign(context.begin(), context.end());
    num_shown_ = window_.size();
    return;
  }
  for (const uint32_t id : context) push(id);
  starts_in_context_ = !pending_bytes_.empty();
}
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
    if (prefix.num_valid_bytes > 0) starts_in_context_ = false;
    if (prefix.num_bad_bytes == 0 || prefix.is_truncated) return text;
    if (!std::exchange(starts_in_context_, false)) text += kReplacementCharacter;
    pending_bytes_.erase(0, prefix.num_bad_bytes);
  }
}

// The ids before the new text are decoded again with it, so that rules for the start of a text act on both
// alike.
std::string IncrementalDecoder::push_tokens(uint32_t id) {
  window_.push_back(id);
  std::string text = text_not_shown();
  if (text.empty() || text.ends_with(kReplacementCharacter)) return {};
  window_.erase(window_.begin(), window_.begin() + static_cast<ptrdiff_t>(num_shown_));
  num_shown_ = window_.size();
  return text;
}

std::string IncrementalDecoder::text_not_shown() const {
  const auto shown = tokenizer_.decode(std::span(window_).first(num_shown_), skip_special_tokens_);
  return std::string(behind_shared(shown, tokenizer_.decode(window_, skip_special_tokens_)));
}

std::string IncrementalDecoder::finish() {
  std::string text = starts_in_context_ ? "" : to_valid_utf8(pending_bytes_);
  pending_bytes_.clear();
  starts_in_context_ = false;
  text += text_not_shown();
  window_.clear();
  num_shown_ = 0;
  return text;
}

std::string Tokenizer::decode_continuation(std::span<const uint32_t> context, std::span<const uint32_t> ids,
                                           bool skip_special_tokens) const {
  IncrementalDecoder decoder(*this, skip_special_tokens, context);
  std::string text;
  for (const uint32_t id : ids) text += decoder.push(id);
  return text + decoder.finish();
}

}  // namespace athanor::data::tokenizer
