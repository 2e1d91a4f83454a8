// athanor doctor [CONFIG] [--network] [--json]
#include <memory>
#include <string>
#include <vector>

#include "configs/load.h"
#include "core/error.h"
#include "launch/commands.h"
#include "launch/environment.h"
#include "launch/machine_facts.h"
#include "launch/network_facts.h"
#include "launch/output.h"
#include "parallel/mesh.h"
#include "parallel/session.h"

namespace athanor::launch {
namespace {

struct DoctorArguments {
  std::string config;
  std::vector<std::string> overrides;
  std::string directory = ".";
  bool network = false, json = false;
  double timeout_s = 60;
  parallel::MeshDegrees degrees{.data = 0};
};

parallel::MeshDegrees degrees_of(const configs::ParallelConfig& config) {
  return {.pipeline = static_cast<int>(config.pipeline),
          .data = static_cast<int>(config.data),
          .context = static_cast<int>(config.context),
          .expert = static_cast<int>(config.expert),
          .tensor = static_cast<int>(config.tensor)};
}

void report_network(const DoctorArguments& arguments, parallel::Session& session) {
  const parallel::Mesh mesh(arguments.degrees, session.size());
  const auto rows = measure_network(session, mesh, {});
  if (session.rank() != 0) return;
  if (arguments.json) {
    print(
        nlohmann::ordered_json(
            {{"ranks", session.size()}, {"ranks_per_machine", session.local_size()}, {"axes", to_json(rows)}})
            .dump(2) +
        "\n");
  } else if (rows.empty()) {
    print("one process has no axis to measure: start it as `mpirun -n N athanor doctor --network`\n");
  } else {
    print(
        fmt::format("{} ranks, {} on this machine\n{}", session.size(), session.local_size(), to_text(rows)));
  }
}

// Under mpirun the first rank has the machine to itself while the others wait.
void report_machine(const DoctorArguments& arguments, parallel::Session& session) {
  if (session.rank() == 0) {
    const MachineFacts facts = measure_machine(threads_per_rank(0, 1), arguments.directory);
    print(arguments.json ? to_json(facts).dump(2) + "\n" : to_text(facts));
  }
  session.world().barrier();
}

void run_doctor(DoctorArguments arguments) {
  const LauncherFacts facts = launcher_facts();
  if (!arguments.config.empty()) {
    const auto config =
        configs::load_run_config(arguments.config, arguments.overrides, {.world_size = facts.world_size});
    arguments.degrees = degrees_of(config.parallel);
  }
  const auto session =
      parallel::start_session({.under_mpi_launcher = facts.is_under_mpi, .timeout_s = arguments.timeout_s});
  try {
    if (arguments.network)
      report_network(arguments, *session);
    else
      report_machine(arguments, *session);
    session->finish();
  } catch (const core::Error& error) {
    if (session->size() > 1) session->fail(error);
    throw;
  }
}

void add_degree(Command command, const char* name, int& degree, const char* meaning) {
  command.add_option(name, degree, meaning).between(1, 65536);
}

}  // namespace

void add_doctor_command(Command root) {
  auto arguments = std::make_shared<DoctorArguments>();
  Command command = root.add_command(
      "doctor",
      "What this machine has, measured: matrix products, memory, disk; with --network every axis of a mesh");
  command.add_option("config", arguments->config, "a configuration whose layout is measured (YAML)");
  command.add_option("overrides", arguments->overrides, "section.key=value, over the file");
  command.add_flag("--network", arguments->network,
                   "measure the collectives of every axis instead; start it under mpirun");
  command.add_flag("--json", arguments->json, "print the facts as JSON");
  command.add_option("--dir", arguments->directory, "where writing to disk is measured").shows_default();
  command.add_option("--timeout", arguments->timeout_s, "seconds after which a silent rank is reported")
      .above_zero()
      .shows_default();
  add_degree(command, "--data", arguments->degrees.data,
             "data-parallel degree (default: what the others leave)");
  add_degree(command, "--tensor", arguments->degrees.tensor, "tensor-parallel degree");
  add_degree(command, "--expert", arguments->degrees.expert, "expert-parallel degree");
  add_degree(command, "--pipeline", arguments->degrees.pipeline, "pipeline-parallel degree");
  add_degree(command, "--context", arguments->degrees.context, "context-parallel degree");
  command.runs([arguments] { run_doctor(*arguments); });
}

}  // namespace athanor::launch
