"""What people see: Streamlit pages that speak HTTP only."""
