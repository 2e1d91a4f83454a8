// Masks personal data by tags: <EMAIL>, <IP>, <PHONE>, <ID_CARD>, <BANK_CARD>.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "configs/clean_config.h"
#include "data/clean/rules.h"

namespace athanor::clean {

/// How many of each kind were masked.
struct PrivacyCounts {
  size_t emails = 0, ip_addresses = 0, mobile_numbers = 0, id_cards = 0, bank_cards = 0;
};

/// Masks in place. Numbers count only when no letter, digit or decimal point touches them.
PrivacyCounts mask_personal_data(const configs::CleanPrivacy& options, std::string& text);

/// 17 digits and a check digit or X, as in GB 11643: region, plausible birth date, ISO 7064 MOD 11-2.
bool is_id_card(std::string_view digits);

/// 16 to 19 digits of a bank's range (first digit 3 to 6) whose Luhn sum holds.
bool is_bank_card(std::string_view digits);

}  // namespace athanor::clean
