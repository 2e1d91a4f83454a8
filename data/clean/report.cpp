#include "data/clean/report.h"

#include <fmt/core.h>

#include "core/json.h"

namespace athanor::clean {
namespace {

using Json = nlohmann::ordered_json;

std::string place_of(const Funnel& funnel, const Example& example) {
  const bool is_known = example.key.file < funnel.files.size();
  return fmt::format("{}:{}", is_known ? funnel.files[example.key.file] : "?", example.line_number);
}

Json examples_json(const Funnel& funnel, const std::vector<Example>& examples) {
  Json all = Json::array();
  for (const Example& example : examples)
    all.push_back({{"place", place_of(funnel, example)}, {"detail", example.detail}, {"text", example.text}});
  return all;
}

Json tally_json(const Tally& tally) {
  return {{"documents", tally.documents}, {"bytes", tally.bytes}};
}

// Calls body(rule, in, removed, out) for every rule in order. The edits' bytes leave between reading and
// judging.
void walk_funnel(const Funnel& funnel, auto&& body) {
  Tally in = funnel.read;
  for (int i = 0; i < kNumRules; ++i) {
    if (static_cast<Rule>(i) == Rule::kEmpty) in.bytes -= static_cast<uint64_t>(funnel.bytes_edited_away);
    const Tally& removed = funnel.removed[static_cast<size_t>(i)];
    const Tally out{in.documents - removed.documents, in.bytes - removed.bytes};
    body(static_cast<Rule>(i), in, removed, out);
    in = out;
  }
}

double percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

double mebibytes(uint64_t bytes) {
  return static_cast<double>(bytes) / (1 << 20);
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '"')
      out += "&quot;";
    else
      out.push_back(c);
  }
  return out;
}

std::string language_rows(const Funnel& funnel, std::string_view row_format) {
  std::string rows;
  for (size_t i = 0; i < kNumLanguages; ++i) {
    const Tally &judged = funnel.judged[i], &kept = funnel.kept[i];
    if (judged.documents == 0) continue;
    rows += fmt::format(fmt::runtime(row_format), language_name(static_cast<Language>(i)), judged.documents,
                        kept.documents, percent(kept.documents, judged.documents), mebibytes(kept.bytes));
  }
  return rows;
}

constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}"
    "table{border-collapse:collapse;width:100%}td,th{padding:.25em .6em;text-align:right;border-bottom:1px "
    "solid #eee}"
    "td:first-child,th:first-child{text-align:left}pre{white-space:pre-wrap;background:#f6f6f6;padding:.6em}"
    ".bar{fill:#4c78a8}.lost{fill:#e45756}";

std::string bar(const Tally& removed, const Tally& out, uint64_t whole) {
  const double out_width = percent(out.documents, whole) * 2,
               lost_width = percent(removed.documents, whole) * 2;
  return fmt::format(
      "<svg width=\"200\" height=\"12\"><rect class=\"bar\" width=\"{:.2f}\" height=\"12\"/>"
      "<rect class=\"lost\" x=\"{:.2f}\" width=\"{:.2f}\" height=\"12\"/></svg>",
      out_width, out_width, lost_width);
}

}  // namespace

std::string report_json(const CleanReport& report) {
  const Funnel& f = report.funnel;
  const Tally left = f.left();
  Json json = {{"documents_in", f.read.documents},
               {"bytes_in", f.read.bytes},
               {"documents_out", left.documents},
               {"bytes_out", left.bytes},
               {"bytes_edited_away", f.bytes_edited_away}};
  walk_funnel(f, [&](Rule rule, const Tally& in, const Tally& removed, const Tally& out) {
    json["rules"].push_back({{"rule", rule_name(rule)},
                             {"in", tally_json(in)},
                             {"removed", tally_json(removed)},
                             {"out", tally_json(out)},
                             {"examples", examples_json(f, f.examples[static_cast<size_t>(rule)])}});
  });
  for (int i = 0; i < kNumEdits; ++i)
    json["edits"][std::string(edit_name(static_cast<Edit>(i)))] = f.edited[static_cast<size_t>(i)];
  json["languages"] = Json::object();
  for (size_t i = 0; i < kNumLanguages; ++i)
    json["languages"][std::string(language_name(static_cast<Language>(i)))] = {
        {"judged", tally_json(f.judged[i])}, {"kept", tally_json(f.kept[i])}};
  json["near_duplicate_clusters"] = {{"count", f.num_clusters}, {"largest", f.largest_cluster}};
  json["files"] = f.files;
  json["damaged_files"] = f.damaged_files;
  json["outputs"] = report.outputs;
  json["seconds"] = report.seconds;
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string report_table(const CleanReport& report) {
  const Funnel& f = report.funnel;
  const Tally left = f.left();
  std::string table =
      fmt::format("{:<34}{:>12}{:>12}{:>9}{:>12}\n", "rule", "removed", "documents", "share", "MiB left");
  table += fmt::format("{:<34}{:>12}{:>12}{:>9}{:>12.1f}\n", "(read)", "", f.read.documents, "",
                       mebibytes(f.read.bytes));
  walk_funnel(f, [&](Rule rule, const Tally&, const Tally& removed, const Tally& out) {
    if (removed.documents == 0) return;
    table += fmt::format("{:<34}{:>12}{:>12}{:>8.2f}%{:>12.1f}\n", rule_name(rule), removed.documents,
                         out.documents, percent(removed.documents, f.read.documents), mebibytes(out.bytes));
  });
  table += fmt::format("{:<34}{:>12}{:>12}{:>8.2f}%{:>12.1f}\n", "(kept)", f.read.documents - left.documents,
                       left.documents, percent(left.documents, f.read.documents), mebibytes(left.bytes));
  table += "\nedited documents\n";
  for (size_t i = 0; i < kNumEdits; ++i)
    if (f.edited[i] > 0)
      table += fmt::format("  {:<32}{:>12}\n", edit_name(static_cast<Edit>(i)), f.edited[i]);
  table +=
      fmt::format("\n{:<12}{:>12}{:>12}{:>9}{:>12}\n", "language", "judged", "kept", "share", "MiB kept");
  table += language_rows(f, "{:<12}{:>12}{:>12}{:>8.2f}%{:>12.1f}\n");
  for (const auto& message : f.damaged_files) table += fmt::format("\ndamaged: {}", message);
  const double rate = report.seconds > 0 ? static_cast<double>(f.read.bytes) / 1e6 / report.seconds : 0;
  return table + fmt::format("\n{:.1f} s, {:.1f} MB/s\n", report.seconds, rate);
}

std::string report_html(const CleanReport& report) {
  const Funnel& f = report.funnel;
  const Tally left = f.left();
  std::string html = fmt::format(
      "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Cleaning "
      "report</title><style>{}</style>"
      "<h1>Cleaning report</h1><p>{} of {} documents kept ({:.2f} %), {:.1f} of {:.1f} MiB.</p>"
      "<table><tr><th>rule</th><th>removed</th><th>left</th><th>MiB left</th><th></th></tr>",
      kStyle, left.documents, f.read.documents, percent(left.documents, f.read.documents),
      mebibytes(left.bytes), mebibytes(f.read.bytes));
  std::string examples;
  walk_funnel(f, [&](Rule rule, const Tally&, const Tally& removed, const Tally& out) {
    if (removed.documents == 0) return;
    html += fmt::format("<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.1f}</td><td>{}</td></tr>",
                        rule_name(rule), removed.documents, out.documents, mebibytes(out.bytes),
                        bar(removed, out, f.read.documents));
    examples += fmt::format("<h3>{}</h3>", rule_name(rule));
    for (const Example& example : f.examples[static_cast<size_t>(rule)])
      examples += fmt::format("<p>{} {}</p><pre>{}</pre>", escape_html(place_of(f, example)),
                              escape_html(example.detail), escape_html(example.text));
  });
  html += "</table><h2>Edits</h2><table><tr><th>edit</th><th>documents</th></tr>";
  for (size_t i = 0; i < kNumEdits; ++i)
    html += fmt::format("<tr><td>{}</td><td>{}</td></tr>", edit_name(static_cast<Edit>(i)), f.edited[i]);
  html +=
      "</table><h2>Languages</h2><table><tr><th>language</th><th>judged</th><th>kept</th><th>share</"
      "th><th>MiB kept</th></tr>";
  html += language_rows(f, "<tr><td>{}</td><td>{}</td><td>{}</td><td>{:.2f} %</td><td>{:.1f}</td></tr>");
  return html + "</table><h2>Removed documents</h2>" + examples + "</html>\n";
}

}  // namespace athanor::clean
