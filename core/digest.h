// XXH3-128 digests of files and buffers, written as 32 hexadecimal digits. They find damage, not malice.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

namespace athanor::core {

/// Digest of a stream of bytes.
class Digest {
 public:
  Digest();
  ~Digest();
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;

  void update(std::span<const std::byte> bytes);
  /// May be called at any time; further updates go on from there.
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string digest_hex(std::span<const std::byte> bytes);
std::string digest_hex(std::string_view text);

}  // namespace athanor::core
