"""The stress tests of the Bitter Lesson: does augmentation, scale or softness replace the architecture?"""
