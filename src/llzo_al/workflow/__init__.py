"""The only home of FireWorks: tasks, growth of the loop, LaunchPads, workers."""
