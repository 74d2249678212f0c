"""What brings committed to desired. PURE: values in, values with a reason out."""
