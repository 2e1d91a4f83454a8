// How one option of the configuration is declared: inside its section's struct, once.
//
//   struct ScheduleConfig {
//     double warmup_ratio = 0.1;
//     std::string decay = "cosine";
//     static void describe(auto& section, auto& visit) {
//       visit("warmup_ratio", section.warmup_ratio, {.meaning = "share of all steps spent warming up", .minimum = 0, .maximum = 1});
//       visit("decay", section.decay, {.meaning = "shape after the warm-up", .choices = {"cosine", "linear", "constant", "wsd"}});
//     }
//   };
//
// Parsing, printing, `explain`, the JSON schema and the reference page are visitors over `describe`. The default is the
// member's initialiser. Fields may be bool, int64_t, double, std::string, std::optional<T> (null allowed),
// std::vector<T> of these, nested sections, and std::vector<Section>.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace athanor::configs {

struct Option {
  std::string meaning;               ///< one line
  std::string unit = {};  ///< "tokens", "seconds", "bytes"; empty: a plain number or text
  double minimum = -std::numeric_limits<double>::infinity();
  double maximum = std::numeric_limits<double>::infinity();
  bool above_minimum = false;        ///< the minimum itself is not allowed
  std::vector<std::string> choices = {};  ///< text options: the only values allowed (empty: any)
  bool is_required = false;
  bool is_duration = false;          ///< text such as 60s, 5m, 2h, or a number of steps
};

}  // namespace athanor::configs
