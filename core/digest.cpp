#include "core/digest.h"

#include <string_view>
#include <xxhash.h>

#include <fmt/core.h>

namespace athanor::core {
namespace {
std::string to_hex(XXH128_hash_t hash) {
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}
}  // namespace

struct Digest::State {
  XXH3_state_t* xxh = XXH3_createState();
  ~State() { XXH3_freeState(xxh); }
};

Digest::Digest() : state_(std::make_unique<State>()) {
  XXH3_128bits_reset(state_->xxh);
}
Digest::~Digest() = default;

void Digest::update(std::span<const std::byte> bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}

std::string Digest::hex() const {
  return to_hex(XXH3_128bits_digest(state_->xxh));
}

std::string digest_hex(std::span<const std::byte> bytes) {
  return to_hex(XXH3_128bits(bytes.data(), bytes.size()));
}

std::string digest_hex(std::string_view text) {
  return to_hex(XXH3_128bits(text.data(), text.size()));
}

}  // namespace athanor::core
