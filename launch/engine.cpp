#include "launch/engine.h"

#include "launch/commands.h"

namespace athanor::launch {
namespace {

// In the order of the work: configure, prepare data, train, use the model.
void add_all_commands(Command root) {
  add_train_command(root);
  add_config_commands(root);
  add_synth_command(root);
  add_clean_command(root);
  add_tokenizer_command(root);
  add_shards_command(root);
  add_score_command(root);
  add_generate_command(root);
  add_export_command(root);
  add_checkpoint_command(root);
  add_doctor_command(root);
}

}  // namespace
}  // namespace athanor::launch

/// The program with every command: parses, runs, reports. Returns the exit code.
extern "C" int athanor_run_engine(int argc, char** argv) {
  return athanor::launch::run_program(argc, argv, athanor::launch::add_all_commands);
}
