// The precompiled header of test files with LibTorch.
#pragma once
#include "cmake/pch.h"

#include <gtest/gtest.h>
