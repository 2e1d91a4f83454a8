// The subcommands. Each `add_*` declares its options on `root` and sets a callback; a callback reports
// failure by throwing a core::Error, whose exit code becomes the program's.
#pragma once

#include "launch/command_line.h"

namespace athanor::launch {

/// Those that need neither LibTorch nor MPI.
void add_light_commands(Command root);

void add_train_command(Command root);       // train                              (launch/train_command.cpp)
void add_score_command(Command root);       // score                              (launch/score_command.cpp)
void add_generate_command(Command root);    // generate (launch/generate_command.cpp)
void add_export_command(Command root);      // export                             (launch/export_command.cpp)
void add_checkpoint_command(Command root);  // checkpoint list, verify, ... (launch/checkpoint_command.cpp)
void add_doctor_command(Command root);      // doctor (launch/doctor_command.cpp)
void add_config_commands(Command root);     // check, explain, schema, init       (launch/config_commands.cpp)
void add_clean_command(Command root);       // clean                              (launch/clean_command.cpp)
void add_synth_command(Command root);       // synth                              (launch/synth_command.cpp)
void add_tokenizer_command(Command root);  // tokenizer train / encode / decode (launch/tokenizer_command.cpp)
void add_shards_command(Command root);     // shards build / stat / verify       (launch/shards_command.cpp)

}  // namespace athanor::launch
