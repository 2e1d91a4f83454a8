// The subcommands. Each `add_*` declares its options on `root` and sets a callback; a callback reports
// failure by throwing a core::Error, whose exit code becomes the program's.
#pragma once

#include <CLI/CLI.hpp>

namespace athanor::launch {

void add_all_commands(CLI::App& root);

void add_train_command(CLI::App& root);     // train                              (launch/train_command.cpp)
void add_score_command(CLI::App& root);     // score                              (launch/score_command.cpp)
void add_generate_command(CLI::App& root);  // generate (launch/generate_command.cpp)
void add_export_command(CLI::App& root);    // export                             (launch/export_command.cpp)
void add_checkpoint_command(CLI::App& root);  // checkpoint list, verify, ... (launch/checkpoint_command.cpp)
void add_doctor_command(CLI::App& root);      // doctor (launch/doctor_command.cpp)
void add_config_commands(CLI::App& root);  // check, explain, schema, init       (launch/config_commands.cpp)
void add_clean_command(CLI::App& root);    // clean                              (launch/clean_command.cpp)
void add_synth_command(CLI::App& root);    // synth                              (launch/synth_command.cpp)
void add_tokenizer_command(
    CLI::App& root);                      // tokenizer train / encode / decode  (launch/tokenizer_command.cpp)
void add_shards_command(CLI::App& root);  // shards build / stat / verify       (launch/shards_command.cpp)

}  // namespace athanor::launch
