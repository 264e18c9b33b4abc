"""Indirect object identification (Wang et al. 2022): who is given something, when one of two people gives it?"""
