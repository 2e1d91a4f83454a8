# athanor_library(FOLDER [TORCH] SOURCES a.cpp ... [LINK target ...]): the library of one folder, athanor::FOLDER.
# TORCH adds LibTorch and the lean precompiled header.
function(athanor_library folder)
  cmake_parse_arguments(ARG "TORCH" "" "SOURCES;LINK" ${ARGN})
  add_library(athanor_${folder} STATIC ${ARG_SOURCES})
  add_library(athanor::${folder} ALIAS athanor_${folder})
  target_link_libraries(athanor_${folder} PUBLIC athanor_flags ${ARG_LINK})
  if(ARG_TORCH)
    athanor_use_torch(athanor_${folder})
  endif()
endfunction()

# One precompiled header for every target that uses LibTorch: built once, reused. Code compiles without it too.
function(athanor_use_torch target)
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")  # the precompiled header must have been made with the same code model
    target_compile_options(${target} PRIVATE -fPIC)
  endif()
  target_link_libraries(${target} PUBLIC athanor_torch)
  if(NOT TARGET athanor_pch)
    file(WRITE ${PROJECT_BINARY_DIR}/pch/pch.cpp "// carries the precompiled header\n")
    add_library(athanor_pch OBJECT ${PROJECT_BINARY_DIR}/pch/pch.cpp)
    target_link_libraries(athanor_pch PUBLIC athanor_flags athanor_torch fmt::fmt)
    target_precompile_headers(athanor_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h)
  endif()
  target_link_libraries(${target} PUBLIC fmt::fmt)
  target_precompile_headers(${target} REUSE_FROM athanor_pch)
endfunction()
