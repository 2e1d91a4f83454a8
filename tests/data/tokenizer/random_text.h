// Random texts for the tokenizer tests.
#pragma once

#include <random>
#include <string>
#include <vector>

#include "data/tokenizer/utf8.h"

namespace athanor::data::tokenizer {

/// A text of `num_characters` characters, each drawn from `alphabet`.
inline std::string random_text(std::mt19937_64& random, const std::vector<uint32_t>& alphabet,
                               size_t num_characters) {
  std::string text;
  for (size_t i = 0; i < num_characters; ++i) append_code_point(text, alphabet[random() % alphabet.size()]);
  return text;
}

/// Characters of the scripts and kinds that splitting rules treat differently, the common ones several times.
inline std::vector<uint32_t> mixed_alphabet() {
  std::vector<uint32_t> alphabet;
  const auto add = [&](uint32_t first, uint32_t last, uint32_t step = 1) {
    for (uint32_t c = first; c <= last; c += step) alphabet.push_back(c);
  };
  for (int repeat = 0; repeat < 12; ++repeat) {
    for (const uint32_t c :
         {' ', ' ', '\n', '\r', '\t', '\'', 's', 'S', 'l', 'L', 'v', 'e', 'r', 't', 'm', 'd', '7'})
      alphabet.push_back(c);
    for (const uint32_t c :
         {0x17Fu, 0x3000u, 0xA0u, 0x85u, 0x200Bu, 0x2028u, 0x301u, 0x30FBu, 0x4F60u, 0x661u, 0x180Eu})
      alphabet.push_back(c);
  }
  add(0, 0x250);
  add(0x300, 0x380, 7);
  add(0x400, 0x700, 11);
  add(0x900, 0xE00, 13);
  add(0x2000, 0x2C00, 17);
  add(0x3000, 0x3100, 3);
  add(0x4E00, 0x9FFF, 501);
  add(0xAC00, 0xD7A3, 997);
  add(0xF900, 0xFFFF, 101);
  add(0x10000, 0x1FFFF, 1009);
  add(0x20000, 0x10FFFF, 40009);
  return alphabet;
}

}  // namespace athanor::data::tokenizer
