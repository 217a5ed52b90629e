class FilesController < ApplicationController
  def show
    send_file Rails.root.join('storage', params[:name])
  end
end
