// The subcommands. Each `add_*` declares its options on `root` and sets a callback; a callback reports
// failure by throwing a core::Error, whose exit code becomes the program's.
#pragma once

#include <CLI/CLI.hpp>

namespace athanor::launch {

void add_all_commands(CLI::App& root);

void add_config_commands(CLI::App& root);  // check, explain, schema, init       (launch/config_commands.cpp)
void add_clean_command(CLI::App& root);    // clean                              (launch/clean_command.cpp)
void add_synth_command(CLI::App& root);    // synth                              (launch/synth_command.cpp)
void add_tokenizer_command(
    CLI::App& root);                      // tokenizer train / encode / decode  (launch/tokenizer_command.cpp)
void add_shards_command(CLI::App& root);  // shards build / stat / verify       (launch/shards_command.cpp)
void add_checkpoint_command(
    CLI::App& root);  // checkpoint list / show / verify / prune / diff  (launch/checkpoint_command.cpp)

}  // namespace athanor::launch
